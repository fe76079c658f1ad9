"""Networks that a search's result has to be held against: as large, found without a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from nas.runs.results import Role
from search_spaces import Architecture, SearchSpace, names, space, unknown

Kernel = Literal["largest", "smallest"]

STEPS = 200
"""So many shares of the largest width are tried."""


@dataclass(frozen=True)
class Baseline:
    """Where the weights of a baseline come from, its kernels, and its role in a comparison."""

    weights: Literal["scratch", "inherited"]
    kernel: Kernel
    role: Role


BASELINES = {
    "scaled": Baseline("scratch", "largest", "scaled"),
    "scaled-smallest-kernels": Baseline("scratch", "smallest", "scaled"),
    "pruned": Baseline("inherited", "largest", "pruned"),
}
"""By name. ``scaled`` is the width multiplier trained
from scratch; ``pruned`` loses the same share of every group of channels of the trained network,
those of the smallest L2 norm."""

Cost = Callable[[Architecture], float]


def baseline_kind(name: str) -> Baseline:
    """One of `BASELINES`.

    Raises:
        UserError: no such baseline.
    """
    if name not in BASELINES:
        raise unknown("baseline", name, BASELINES)
    return BASELINES[name]


CORRECTIONS = 4
"""Networks that are measured before the closest of them is taken."""


def baseline(
    name: str, searched: SearchSpace, cost: Cost, wanted: float, *, measured: Cost | None = None
) -> Architecture:
    """The baseline's network whose cost comes closest to the wanted one.

    Args:
        name: one of `BASELINES`.
        searched: the space of the search.
        cost: of an architecture: the metric that was descended.
        wanted: the cost of the network that it is held against.
        measured: see `closest`.

    Raises:
        UserError: no such baseline.
    """
    kind = baseline_kind(name)
    if kind.weights == "inherited":
        return closest(_shares(searched, kind.kernel), cost, wanted, measured)
    return closest(_multiplied(searched, kind.kernel), cost, wanted, measured)


def closest(
    candidates: Iterator[Architecture], cost: Cost, wanted: float, measured: Cost | None = None
) -> Architecture:
    """The architecture whose cost comes closest; the smaller one of two.

    Cost is not monotonic in width (latency), so every candidate is tried.

    Args:
        candidates: to choose from.
        cost: predicted.
        wanted: predicted for the network that the choice is held against.
        measured: the measured cost as a fraction of that network's, where it can be measured.
            A prediction may be off by more for one kind of network than for another; the choice
            then is the one that measures as much, found by correcting the wanted cost.
    """
    costs = {a: cost(a) for a in dict.fromkeys(candidates)}
    found: dict[Architecture, float] = {}
    for _ in range(1 if measured is None else CORRECTIONS):
        nearest = min(costs, key=lambda a: (abs(costs[a] - wanted), costs[a]))
        if nearest in found:
            break
        found[nearest] = 1.0 if measured is None else measured(nearest)
        wanted = costs[nearest] / found[nearest]
    return min(found, key=lambda a: abs(found[a] - 1))


def without_bypass(of: SearchSpace) -> SearchSpace:
    """The space with its bypass connections off, where it has them and a setting for them."""
    if of.name not in names() or not of.settings.get("bypass"):
        return of
    return space(of.name, **{**of.settings, "bypass": False})


def _multiplied(of: SearchSpace, kernel: Kernel) -> Iterator[Architecture]:
    """The field's width multiplier (Howard et al., "MobileNets", 2017): every width at the same
    share, rounded to the space's values or, where the space has the setting ``multiplier``, as
    its networks are published. There are no bypass connections, which would keep channels that
    a multiplier drops."""
    plain = without_bypass(of)
    yield from _shares(plain, kernel)
    if of.name not in names() or "multiplier" not in of.settings:
        return
    full = plain.settings["multiplier"]
    for step in range(1, STEPS + 1):
        settings = {**plain.settings, "multiplier": full * step / STEPS}
        yield space(plain.name, **settings).scaled(1.0, kernel=kernel)


def _shares(of: SearchSpace, kernel: Kernel) -> Iterator[Architecture]:
    for step in range(1, STEPS + 1):
        yield of.scaled(step / STEPS, kernel=kernel)
