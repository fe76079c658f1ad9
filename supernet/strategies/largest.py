"""The largest network alone: plain training, and the way it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from torch import Tensor

from supernet.share import WHOLE, Share
from supernet.strategies.base import Pass, register
from supernet.supernet import Supernet


@register("largest")
@dataclass(frozen=True)
class Largest:
    """No ordered dropout: every image trains the largest network."""

    forwards: ClassVar[int] = 1

    def passes(
        self,
        supernet: Supernet,
        images: Tensor,
        targets: Tensor,
        progress: float,
        source: Random,
        share: Share = WHOLE,
    ) -> Iterator[Pass]:
        """One plain pass."""
        yield Pass(supernet(images), targets, 1.0)
