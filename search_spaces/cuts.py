"""Nodes that take channels apart or put them into another order."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.choices import Values
from search_spaces.errors import UserError
from search_spaces.joins import cut
from search_spaces.nodes import REMOVED, Inputs, Lowered, Lowering, Node, Tensor, _present, prefix
from search_spaces.operation import Operation, Range


@dataclass(frozen=True, kw_only=True)
class Slice(Node):
    """Channels ``start`` … ``stop`` − 1 of the largest network, as many of them as are there."""

    start: int
    stop: int

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        before, kept = 0, list[Range]()
        for start, stop in x.kept:
            before += max(min(stop, self.start) - start, 0)
            low, high = max(start, self.start), min(stop, self.stop)
            if low < high:
                kept.append((low - self.start, high - self.start))
        channels = sum(stop - start for start, stop in kept)
        if not channels:
            return REMOVED
        operations: list[Operation] = []
        out = cut(self.name, self.name, x, before, before + channels, operations)
        return tuple(operations), out._replace(kept=tuple(kept))


@dataclass(frozen=True, kw_only=True)
class ChannelShuffle(Node):
    """Channels of ``groups`` groups by turns (Zhang et al., "ShuffleNet", CVPR 2018).

    Every width before it is fixed: of fewer channels another order would come out.
    """

    groups: int

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        if x.channels % self.groups or x.kept != prefix(x.channels):
            raise UserError(f"{self.name}: {x.channels} channels are not {self.groups} groups")
        operation = self.operation(x, x.shape, type="channel_shuffle", mode=str(self.groups))
        return (operation,), Tensor(self.name, x.shape, x.kept)
