"""The sandwich rule: the baseline of the field, one sub-network per pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from torch import Tensor

from search_spaces import UserError
from supernet.extraction import run_sliced
from supernet.share import WHOLE, Share
from supernet.strategies.base import Pass, register
from supernet.strategies.distillation import mixed
from supernet.strategies.drawing import Drawing, check_count
from supernet.supernet import Supernet


@register("sandwich")
@dataclass(frozen=True)
class Sandwich(Drawing):
    """Largest, smallest and random networks, each on the whole batch, on sliced weights.

    Yu & Huang, "Universally slimmable networks", ICCV 2019. The passes weigh 1 / (2 + ``random``)
    each where the publication adds their losses up: the same gradient needs a learning rate that
    is so many times higher. Beside `Drawing`'s settings:

    Args:
        random: random sub-networks per batch.
        distil: targets of the others are the largest network's outputs (in-place distillation).
    """

    random: int = 2
    distil: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("random", self.random)
        if not isinstance(self.distil, bool):
            raise UserError(f"strategy: distil = {self.distil!r} of the sandwich is true or false")

    @property
    def forwards(self) -> int:
        """The largest, the smallest and the random ones."""
        return 2 + self.random

    def passes(
        self,
        supernet: Supernet,
        images: Tensor,
        targets: Tensor,
        progress: float,
        source: Random,
        share: Share = WHOLE,
    ) -> Iterator[Pass]:
        """2 + ``random`` passes of equal weight."""
        space = supernet.space
        weight = 1 / self.forwards
        outputs = supernet(images)
        soft = mixed(targets, outputs.detach(), 1.0) if self.distil else targets
        yield Pass(outputs, targets, weight)
        drawn = [self.draw(space, progress, source) for _ in range(self.random)]
        for values in [*drawn, self.smallest_of(space, progress)]:
            yield Pass(run_sliced(supernet, values, images), soft, weight)
