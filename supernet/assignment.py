"""Which sub-network each image of a batch belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from search_spaces.choices import Values

Statistics = Literal["own", "shared", "kept"]
"""Batch statistics in training: of each group, of the whole batch, or of the whole batch but
for each channel over only the images that keep it."""


@dataclass(frozen=True)
class Assignment:
    """One sub-network per group of images; the groups are contiguous and equally large.

    With G groups and N images, image n belongs to group n · G // N; G = N gives every image
    a sub-network of its own. The values are canonical (`SearchSpace.canonical`), as
    architectures are.

    Raises:
        ValueError: no groups, or unknown statistics.
    """

    groups: tuple[Values, ...]
    statistics: Statistics = "own"

    def __post_init__(self) -> None:
        if not self.groups:
            raise ValueError("an assignment needs at least one group")
        if self.statistics not in get_args(Statistics):
            raise ValueError(f"unknown statistics {self.statistics!r}")
