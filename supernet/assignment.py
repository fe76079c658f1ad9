"""Which sub-network each image of a batch belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces import Architecture
from search_spaces.choices import Values


@dataclass(frozen=True)
class Assignment:
    """One sub-network per group of images; the groups are contiguous and equally large.

    With G groups and N images, image n belongs to group n · G // N; G = N gives every image
    a sub-network of its own. ``own_statistics`` gives every group its own batch statistics.
    """

    groups: tuple[Architecture | Values, ...]
    own_statistics: bool = True

    @classmethod
    def of(
        cls, groups: Sequence[Architecture | Values], *, own_statistics: bool = True
    ) -> Assignment:
        """The assignment of these sub-networks, in the order of the images."""
        return cls(tuple(groups), own_statistics)
