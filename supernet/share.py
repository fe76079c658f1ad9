"""Which part of a step's batch is computed here, or now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T", bound=Any)


@dataclass(frozen=True)
class Share:
    """Part ``index`` of ``count`` contiguous, equal parts of a step's batch.

    A part is what one rank computes, or what one rank computes at once. Everything random is
    drawn for the whole batch, so that any number of parts trains on the same images and
    sub-networks.
    """

    index: int = 0
    count: int = 1

    def of(self, items: T) -> T:
        """This part of a list, array or tensor; its length is a multiple of ``count``."""
        size = len(items) // self.count
        part: T = items[self.index * size : (self.index + 1) * size]
        return part

    def split(self, parts: int) -> list[Share]:
        """This part, cut into smaller ones."""
        return [Share(self.index * parts + i, self.count * parts) for i in range(parts)]


WHOLE = Share()
"""The whole batch."""
