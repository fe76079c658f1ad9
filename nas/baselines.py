"""Networks that a search's result has to be held against: as large, found without a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from search_spaces import Architecture, Network, SearchSpace, names, space, space_of, unknown

Kernel = Literal["largest", "smallest"]

STEPS = 200
"""So many shares of the largest width are tried."""

BASELINES: dict[str, tuple[Literal["scratch", "inherited"], Kernel]] = {
    "scaled": ("scratch", "largest"),
    "scaled-smallest-kernels": ("scratch", "smallest"),
    "pruned": ("inherited", "largest"),
}
"""Name → where its weights come from, and its kernels. ``scaled`` is the width multiplier trained
from scratch; ``pruned`` loses the same share of every group of channels of the trained network,
those of the smallest L2 norm."""

Cost = Callable[[Network], float]


def baseline(name: str, searched: SearchSpace, cost: Cost, wanted: float) -> Architecture:
    """The baseline's network whose cost comes closest to the wanted one.

    Args:
        name: one of `BASELINES`.
        searched: the space of the search.
        cost: of a network: the metric that was descended.
        wanted: the cost of the network that it is held against.

    Raises:
        UserError: no such baseline.
    """
    if name not in BASELINES:
        raise unknown("baseline", name, BASELINES)
    weights, kernel = BASELINES[name]
    if weights == "inherited":
        return closest(_shares(searched, kernel), cost, wanted)
    return scaled_to(searched, cost, wanted, kernel=kernel)


def scaled_to(
    searched: SearchSpace, cost: Cost, wanted: float, *, kernel: Kernel = "largest"
) -> Architecture:
    """The uniformly scaled network whose cost comes closest to the wanted one.

    It is the field's width multiplier (Howard et al., "MobileNets", 2017): every width at the
    same share, rounded to the space's values or, where the space has the setting ``multiplier``,
    as its networks are published. There are no bypass connections, which would keep channels
    that a multiplier drops.
    """
    return closest(_multiplied(searched, kernel), cost, wanted)


def closest(candidates: Iterator[Architecture], cost: Cost, wanted: float) -> Architecture:
    """The architecture whose cost comes closest; the smaller one of two.

    Cost is not monotonic in width (latency), so every candidate is tried.
    """
    found = {a: cost(space_of(a).describe(a)) for a in dict.fromkeys(candidates)}
    return min(found, key=lambda a: (abs(found[a] - wanted), found[a]))


def without_bypass(of: SearchSpace) -> SearchSpace:
    """The space with its bypass connections off, where it has them and a setting for them."""
    if of.name not in names() or not of.settings.get("bypass"):
        return of
    return space(of.name, **{**_settings(of), "bypass": False})


def _settings(of: SearchSpace) -> dict[str, object]:
    return {**of.settings, "resolution": of.resolution, "classes": of.classes}


def _multiplied(of: SearchSpace, kernel: Kernel) -> Iterator[Architecture]:
    plain = without_bypass(of)
    yield from _shares(plain, kernel)
    if of.name not in names() or "multiplier" not in of.settings:
        return
    full = plain.settings["multiplier"]
    for step in range(1, STEPS + 1):
        settings = {**_settings(plain), "multiplier": full * step / STEPS}
        yield space(plain.name, **settings).scaled(1.0, kernel=kernel)


def _shares(of: SearchSpace, kernel: Kernel) -> Iterator[Architecture]:
    for step in range(1, STEPS + 1):
        yield of.scaled(step / STEPS, kernel=kernel)
