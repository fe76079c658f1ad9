"""A score, as every file and every command shows it. Without torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

Interval = tuple[float, float]
"""Lower and upper end, in the unit of the value."""

NORMAL = 1.959964
"""Standard deviations to either side that hold 95 % of a normal distribution."""


def share_interval(hits: int, images: int) -> Interval:
    """The 95 % interval of a share of images, in percent (Wilson, 1927)."""
    share, z = hits / images, NORMAL**2 / images
    middle = (share + z / 2) / (1 + z)
    half = NORMAL * math.sqrt((share * (1 - share) + z / 4) / images) / (1 + z)
    return max(0.0, 100 * (middle - half)), min(100.0, 100 * (middle + half))


def mean_interval(total: float, squares: float, images: int) -> Interval | None:
    """The 95 % interval of a mean over images, by their spread; None of fewer than two.

    Args:
        total: the sum of the images' values.
        squares: the sum of their squares.
        images: how many.
    """
    if images < 2:
        return None
    mean = total / images
    variance = max(0.0, squares - images * mean**2) / (images - 1)
    half = NORMAL * math.sqrt(variance / images)
    return mean - half, mean + half


@dataclass(frozen=True)
class Score:
    """A score on one split; ``unit`` is printed behind the value."""

    name: str
    value: float
    unit: str = ""
    higher_is_better: bool = True
    split: str = ""

    @property
    def text(self) -> str:
        """The value as it is printed."""
        if self.unit == "%":
            return f"{self.value:.1f} %"
        if self.unit in ("", "fraction"):
            return f"{self.value:.4f}"
        return f"{self.value:.3g} {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """The score as plain JSON types."""
        return asdict(self)
