"""Which sub-network each image of a batch belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    """

    groups: tuple[Values, ...]
    statistics: Statistics = "own"
