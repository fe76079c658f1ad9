"""Where masks are needed in a space's graph, and what they are for an assignment.

Not every dropped channel must be zeroed where it arises: a depthwise layer keeps channels apart,
so one mask behind it serves the layer before as well, and a gate of squeeze-and-excite zeroes the
map it multiplies. The places follow from the graph: a dense layer needs its input clean, and asks
for it backwards through everything that mixes no channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces import SearchSpace
from search_spaces.choices import Values, Width
from search_spaces.cuts import ChannelShuffle, Slice
from search_spaces.joins import Add, Bypass, Concat
from search_spaces.nodes import (
    Conv,
    Elementwise,
    Flatten,
    GlobalPool,
    Linear,
    Multiply,
    Node,
    Pool,
    Resize,
)
from search_spaces.norms import LayerNorm
from search_spaces.operation import ZERO_PRESERVING
from search_spaces.space import INPUT


def mixes_channels(node: Node) -> bool:
    """True where an output channel depends on other input channels."""
    if isinstance(node, Conv):
        return node.group_width != 1
    return isinstance(node, Linear)


def is_fixed(node: Node) -> bool:
    """True for a dense or grouped layer that keeps all filters in every sub-network."""
    return isinstance(node, Conv | Linear) and node.filters.choice is None and node.requires is None


def removed_apart(space: SearchSpace) -> frozenset[str]:
    """The removable nodes whose output does not vanish with the layers before them.

    A unit that ends in a convolution or a linear layer vanishes with its filters. One that ends
    in, say, a pooling of what stands before the unit has to be masked as a whole.
    """
    readers: dict[str, list[str | None]] = {node.name: [] for node in space.nodes}
    for node in space.nodes:
        for name in node.inputs:
            if name != INPUT:
                readers[name].append(node.requires)
    vanishing: dict[str, frozenset[str]] = {INPUT: frozenset()}
    found: set[str] = set()
    for node in space.nodes:
        inputs = [vanishing[name] for name in node.inputs]
        if mixes_channels(node):
            implied: frozenset[str] = frozenset()
        elif isinstance(node, Add | Bypass | Concat):
            implied = frozenset.intersection(*inputs)
        else:
            implied = inputs[0]
        own = node.requires
        if own is not None and own not in implied and not mixes_channels(node):
            outside = any(reader != own for reader in readers[node.name])
            if outside or node.name in space.outputs:
                found.add(node.name)
        vanishing[node.name] = implied if own is None else implied | {own}
    return frozenset(found)


def masked_nodes(space: SearchSpace) -> frozenset[str]:
    """The nodes whose own output must be masked so that every layer sees clean inputs.

    The network's outputs are clean too. What is never dropped needs no mask.
    """
    demanded = set(space.outputs)
    masked: set[str] = set()
    apart = removed_apart(space)
    for node in reversed(space.nodes):
        asked = node.name in demanded
        if asked and node.name in apart:
            masked.add(node.name)
        if mixes_channels(node):
            # a grouped convolution drops whole groups, yet reads clean inputs like a dense one
            demanded.update(node.inputs)
            if asked and not is_fixed(node):
                masked.add(node.name)
        elif isinstance(node, Conv | GlobalPool):
            if asked:
                masked.add(node.name)
        elif isinstance(node, Elementwise):
            if asked and not node.norm and node.activation in ZERO_PRESERVING:
                demanded.update(node.inputs)
            elif asked:
                masked.add(node.name)
        elif isinstance(node, LayerNorm):
            pass  # takes its mask itself, whoever reads it
        elif isinstance(node, Multiply):
            if asked:
                demanded.add(node.inputs[1])
        elif isinstance(node, Bypass):
            # y_i is f_i + x'_i or one of the two: f must be clean whoever reads y
            demanded.add(node.inputs[0])
            if asked or node.residual:
                demanded.add(node.inputs[1])
        elif isinstance(node, Add):
            # where the widths differ, the channels of the wider one must pass unchanged
            demanded.update(node.inputs)
            if asked and node.activation not in ZERO_PRESERVING:
                masked.add(node.name)
        elif asked:
            demanded.update(node.inputs)
    return frozenset(masked)


class MaskPlan:
    """Masks (G, C) of every node that needs one, from the widths of G sub-networks.

    The widths of a batch are one table, and its masks one comparison with ``positions``: channel i
    of them is number ``positions[i]`` of the widths in column ``columns[i]``.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.masked = masked_nodes(space)
        self.apart = removed_apart(space)
        self._nodes = {node.name: node for node in space.nodes}
        # every distinct (width, requires) is one stretch of the comparison
        self._stretch: dict[tuple[Width, str | None], tuple[int, int]] = {}
        positions: list[Tensor] = []
        self._sources: list[tuple[Width, str | None]] = []
        offset = 0
        for node in space.nodes:
            if node.name not in self.apart and not mixes_channels(node):
                continue
            key = self._key(node)
            if key in self._stretch:
                continue
            width = key[0].maximum
            self._stretch[key] = (offset, offset + width)
            self._sources.append(key)
            positions.append(torch.arange(width))
            offset += width
        counts = torch.tensor([len(p) for p in positions])
        self.positions = torch.cat(positions)
        self.columns = torch.repeat_interleave(torch.arange(len(positions)), counts)
        self._stretches = {
            node.name: self._stretch[self._key(node)]
            for node in space.nodes
            if node.name in self.apart or mixes_channels(node)
        }

    def channels(self, name: str) -> int:
        """Channels of a node's output in the largest network."""
        return self.space.largest_shapes[name][0]

    def widths(self, values: Values) -> list[int]:
        """A sub-network's row of the table."""
        return [_width(width, requires, values) for width, requires in self._sources]

    def stretch(self, name: str) -> tuple[int, int]:
        """Where a node's filters, or the one flag of its removal, stand in the comparison."""
        return self._stretches[name]

    @staticmethod
    def _key(node: Node) -> tuple[Width, str | None]:
        if isinstance(node, Conv | Linear) and mixes_channels(node):
            return (node.filters, node.requires)
        return (Width(1), node.requires)

    def node(self, name: str) -> Node:
        """The node of this name."""
        return self._nodes[name]


class Masks:
    """The masks of one batch, looked up by node; each is (G, C) of zeros and ones."""

    def __init__(self, plan: MaskPlan, flat: Tensor) -> None:
        self._plan = plan
        self._flat = flat
        self._made: dict[str, Tensor] = {}

    def of(self, name: str) -> Tensor:
        """The channels of the node's output that each group keeps, (G, C)."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Tensor:
        if name == INPUT:
            return self._flat.new_ones(len(self._flat), self._plan.space.input_channels)
        mask = self._of_widths(name)
        if name in self._plan.apart:
            start, stop = self._plan.stretch(name)
            return mask * self._flat[:, start:stop]
        return mask

    def _of_widths(self, name: str) -> Tensor:
        node = self._plan.node(name)
        if isinstance(node, Conv | Linear) and mixes_channels(node):
            start, stop = self._plan.stretch(name)
            return self._flat[:, start:stop]
        inputs = [self.of(i) for i in node.inputs]
        if isinstance(node, Bypass):
            return torch.maximum(inputs[0], _fit(inputs[1], node.filters))
        if isinstance(node, Add):
            width = self._plan.channels(name)
            return torch.stack([_fit(m, width) for m in inputs]).amax(0)
        if isinstance(node, Concat):
            return torch.cat(inputs, 1)
        if isinstance(node, Slice):
            return inputs[0][:, node.start : node.stop]
        if isinstance(node, Flatten):
            return inputs[0].repeat_interleave(self._plan.channels(name) // inputs[0].shape[1], 1)
        known = (
            Conv | Elementwise | Pool | GlobalPool | Resize | Multiply | LayerNorm | ChannelShuffle
        )
        assert isinstance(node, known)
        return inputs[0]


def _fit(mask: Tensor, width: int) -> Tensor:
    if mask.shape[1] >= width:
        return mask[:, :width]
    return torch.cat([mask, mask.new_zeros(len(mask), width - mask.shape[1])], 1)


def _width(width: Width, requires: str | None, values: Values) -> int:
    if requires is not None and values[requires] == 0:
        return 0
    return width.of(values)
