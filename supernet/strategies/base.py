"""What a strategy is: how the sub-networks of a training step are drawn and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple, Protocol

from torch import Tensor

from search_spaces import unknown
from supernet.share import WHOLE, Share
from supernet.supernet import Supernet


class Pass(NamedTuple):
    """One forward pass of a step; the step's loss is the weighted sum over its passes.

    ``targets`` are the batch's own, or mixed with a teacher's outputs (`distillation.mixed`).
    """

    outputs: Tensor
    targets: Tensor
    weight: float


class Strategy(Protocol):
    """Draws sub-networks and runs them on a batch.

    A strategy has no state: what a step does is a function of its arguments, so a run that goes
    on from a checkpoint draws what the uninterrupted run draws.
    """

    @property
    def forwards(self) -> int:
        """Forward passes of a step."""
        ...

    def passes(
        self,
        supernet: Supernet,
        images: Tensor,
        targets: Tensor,
        progress: float,
        source: Random,
        share: Share = WHOLE,
    ) -> Iterator[Pass]:
        """The forward passes of one step, each differentiated before the next one starts.

        Args:
            supernet: in training mode.
            images: (N, C, H, W), normalised.
            targets: of the N images, as the task's loss takes them.
            progress: 0 at the first step of the training, 1 at the last.
            source: random numbers of this step alone, the same for every part of its batch.
            share: the part of the batch that the images are. The sub-networks are drawn for the
                whole batch and each part takes its own; batch statistics stay within a part.

        Raises:
            UserError: the batch does not fit, say its size is no multiple of the groups.
        """
        ...


STRATEGIES: dict[str, Callable[..., Strategy]] = {}
"""The strategies by the name that recipes use."""


def register(name: str) -> Callable[[type], type]:
    """Register a strategy class under the name that recipes use."""

    def add(cls: type) -> type:
        STRATEGIES[name] = cls
        return cls

    return add


def names() -> list[str]:
    """The registered strategies."""
    return sorted(STRATEGIES)


def strategy(name: str, **settings: object) -> Strategy:
    """The strategy of this name with these settings, which have the types of its fields.

    Raises:
        UserError: unknown name, or a value out of range.
    """
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    return STRATEGIES[name](**settings)
