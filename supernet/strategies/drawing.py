"""How the values of one sub-network are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from search_spaces import SearchSpace, UserError


@dataclass(frozen=True)
class Drawing:
    """A range that widens, and a share of choices that stay at their largest.

    Args:
        low: the smallest share of T (of E, of K) that is drawn; 0 reaches every value,
            the removal of units included.
        widen: the share of the training over which the range widens linearly from the largest
            network alone to ``low``; 0 starts with the full range.
        keep: the probability that a choice stays at its largest; ``network`` draws that
            probability anew for every sub-network, uniformly from 0 to 1, so that their costs
            spread over the whole range instead of around the middle.
        warmup: the share of the training before it that trains the largest network alone.
    """

    low: float = 0.0
    widen: float = 0.5
    keep: float | Literal["network"] = "network"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        for name in ("low", "widen", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"strategy: {name} = {getattr(self, name)} is not within 0 … 1")
        if self.keep != "network" and not (
            isinstance(self.keep, float | int) and 0 <= self.keep < 1
        ):
            raise UserError(f"strategy: keep = {self.keep!r} is neither 'network' nor within 0 … 1")

    def lowest(self, progress: float) -> float:
        """The smallest share of the largest value that is drawn at this point of the training."""
        if progress < self.warmup:
            return 1.0
        reach = self.widen * (1 - self.warmup)
        done = 1.0 if reach == 0 else min(1.0, (progress - self.warmup) / reach)
        return 1.0 - (1.0 - self.low) * done

    def smallest_of(self, space: SearchSpace, progress: float) -> dict[str, int]:
        """The smallest sub-network of the range at this point of the training."""
        lowest = self.lowest(progress)
        values = {
            name: next(v for v in choice.values if v >= lowest * choice.largest)
            for name, choice in space.choices.items()
        }
        return space.canonical(values)

    def draw(self, space: SearchSpace, progress: float, source: Random) -> dict[str, int]:
        """One sub-network, canonical."""
        lowest = self.lowest(progress)
        keep = source.random() if self.keep == "network" else float(self.keep)
        values = {}
        for name, choice in space.choices.items():
            allowed = [v for v in choice.values if v >= lowest * choice.largest]
            stays = source.random() < keep
            drawn = allowed[source.randrange(len(allowed))]
            values[name] = choice.largest if stays else drawn
        return space.canonical(values)


def in_runs(
    space: SearchSpace, subnetworks: list[dict[str, int]], source: Random
) -> list[dict[str, int]]:
    """Deal the drawn kernel sizes of each unit anew so that equal ones are neighbours.

    Neighbouring groups with one kernel size share one convolution. Which size comes first is
    drawn per unit, so every sub-network still sees every combination of sizes.
    """
    for name, choice in space.choices.items():
        if choice.kind == "kernel":
            order = list(choice.values)
            source.shuffle(order)
            for values, size in zip(
                subnetworks, sorted((v[name] for v in subnetworks), key=order.index), strict=True
            ):
                values[name] = size
    return [space.canonical(values) for values in subnetworks]
