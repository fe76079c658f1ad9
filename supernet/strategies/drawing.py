"""How the values of one sub-network are drawn."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from search_spaces import SearchSpace, UserError, unknown


@dataclass(frozen=True)
class Drawing:
    """A range that widens, and a share of choices that stay at their largest.

    Args:
        low: the smallest share of T (of E, of K) that is drawn; 0 reaches every value,
            the removal of units included.
        widen: the share of the training, after the warm-up, over which the range widens
            linearly from the largest network alone to ``low``; 0 starts with the full range.
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
            check_share(name, getattr(self, name))
        if self.keep != "network" and (not is_number(self.keep) or not 0 <= self.keep < 1):
            raise UserError(
                f"strategy: keep = {self.keep!r} is neither 'network' nor from 0 to below 1"
            )

    def lowest(self, progress: float) -> float:
        """The smallest share of the largest value that is drawn at this point of the training."""
        if progress < self.warmup:
            return 1.0
        reach = self.widen * (1 - self.warmup)
        done = 1.0 if reach == 0 else min(1.0, (progress - self.warmup) / reach)
        # exactly ``low`` in the end, so that its own width is still drawn
        return (1.0 - done) + self.low * done

    def smallest_of(self, space: SearchSpace, progress: float) -> dict[str, int]:
        """The smallest sub-network of the range at this point of the training."""
        lowest = self.lowest(progress)
        values = {
            name: choice.values[_first_within(choice.values, lowest)]
            for name, choice in space.choices.items()
        }
        return space.canonical(values)

    def draw(self, space: SearchSpace, progress: float, source: Random) -> dict[str, int]:
        """One sub-network, canonical."""
        lowest = self.lowest(progress)
        keep = source.random() if self.keep == "network" else float(self.keep)
        values = {}
        for name, choice in space.choices.items():
            first = _first_within(choice.values, lowest)
            stays = source.random() < keep
            drawn = choice.values[first + source.randrange(len(choice.values) - first)]
            values[name] = choice.values[-1] if stays else drawn
        return space.canonical(values)


def _first_within(values: Sequence[int], lowest: float) -> int:
    """The index of the first of the ascending values that is not below this share of the last."""
    return bisect_left(values, lowest * values[-1])


def in_runs(
    space: SearchSpace, subnetworks: list[dict[str, int]], source: Random
) -> list[dict[str, int]]:
    """Deal the drawn kernel sizes of each unit anew so that equal ones are neighbours.

    Neighbouring groups with one kernel size share one convolution. Which size comes first is
    drawn per unit, so every sub-network still sees every combination of sizes. Sub-networks
    without the unit take no part: their kernel is fixed and would crowd out the drawn ones.
    """
    dealt = [dict(values) for values in subnetworks]
    for name, choice in space.choices.items():
        if choice.kind == "kernel":
            order = list(choice.values)
            source.shuffle(order)
            having = [values for values in dealt if space.live(name, values)]
            sizes = sorted((values[name] for values in having), key=order.index)
            for values, size in zip(having, sizes, strict=True):
                values[name] = size
    return dealt


def is_number(value: object) -> bool:
    """True for a whole or a real number, which a truth value is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_share(name: str, value: float) -> None:
    """Refuse a setting that is not a number from 0 to 1.

    Raises:
        UserError: it is not.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise UserError(f"strategy: {name} = {value!r} is not within 0 … 1")


def check_count(name: str, value: int) -> None:
    """Refuse a setting that is not a whole number from 0 on.

    Raises:
        UserError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(f"strategy: {name} = {value!r} is not a whole number from 0 on")


def check_word(name: str, value: object, known: Sequence[str]) -> None:
    """Refuse a setting that is not one of the known words.

    Raises:
        UserError: it is not.
    """
    if value not in known:
        raise unknown(f"value of the strategy's {name}", str(value), known)
