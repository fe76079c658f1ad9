"""One super-network, several phones: a search for each, and one network for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from lut import open_cost_model
from nas.benchmarks.optimizers import Scores, open_oracle
from nas.metrics import Metric, Phones, priced
from nas.optimizers import Member, Problem, Result
from nas.recipe.optimizers import open_optimizer
from nas.runs.statistics import half_interval
from search_spaces import UserError

SIX = ("pixel4", "galaxy-s10", "mi-8-se", "galaxy-a03s", "iphone-7", "iphone-xs")
COMMON = "common"

Found = dict[str, Member]
"""What each search of a seed found: by device, and `COMMON`."""


def run(
    oracle: str = "",
    space: str = "once_for_all",
    devices: list[str] | None = None,
    budget: float = 0.5,
    seeds: int = 5,
    evaluations: int = 500,
    samples: int = 16,
    optimizer: str = "guided",
) -> dict[str, Any]:
    """How far the networks for several phones differ, and what one for all loses on each.

    Args:
        oracle: Once-for-All's predictor (``.npz``), or FILE.py:FUNCTION of an architecture.
        space: of the function's architectures; ``once_for_all`` is the predictor's.
        devices: of which each has a search of its own; None for one large core of six phones.
        budget: of every device, as a share of what the largest network takes there.
        seeds: of each search; own and common searches are paired by seed.
        evaluations: of each search; its iterations follow from the samples.
        samples: networks of an iteration.
        optimizer: of all searches.
    """
    names = [f"{phone}-cpu" for phone in SIX] if devices is None else list(devices)
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError("devices: name two or more, each once")
    if not 0 < budget <= 1:
        raise UserError(f"budget = {budget}: a share of the largest network is above 0, at most 1")
    if seeds < 1 or samples < 1 or evaluations <= samples:
        raise UserError("seeds and samples must be at least 1, evaluations above samples")
    searched, scores = open_oracle(oracle, space)
    latencies: dict[str, Metric] = {
        name: priced(searched, f"latency@{name}", open_cost_model(name, space=searched))
        for name in names
    }
    largest = searched.describe(searched.largest())
    budgets = {name: budget * metric.of(largest) for name, metric in latencies.items()}
    common = Phones(latencies, budgets, "worst")
    costs = {name: (metric, budgets[name]) for name, metric in latencies.items()}
    settings = {"samples": samples, "iterations": (evaluations - 1) // samples}
    found: list[Found] = [{} for _ in range(seeds)]
    for seed, of_seed in enumerate(found):
        for name, (metric, limit) in [*costs.items(), (COMMON, (common, 1.0))]:
            problem = Problem(searched, (metric,), {metric.name: limit}, seed)
            of_seed[name] = _search(problem, optimizer, settings, scores, name)
    rows = [_row(name, found, common, problem) for name in names]
    return {
        "name": "phones",
        "value": max(row["loss"] for row in rows),
        "unit": "score",
        "details": {
            "oracle": oracle,
            "space": searched.name,
            "optimizer": optimizer,
            "budget": budget,
            "seeds": seeds,
            "evaluations": evaluations,
            "common": float(np.mean([f[COMMON].score for f in found])),
            "rows": rows,
            "differ": _differ(found, names),
        },
    }


def _search(
    problem: Problem, name: str, settings: Mapping[str, Any], scores: Scores, device: str
) -> Member:
    """The best network within the budget."""
    search = open_optimizer(name, problem, dict(settings))
    while candidates := search.ask():
        values = scores(problem.rows([c.architecture for c in candidates]))[:, 0]
        search.tell([Result(c, float(v)) for c, v in zip(candidates, values, strict=True)])
    best = search.best()
    if best is None or not np.all(
        problem.costs(problem.rows([best.architecture])) <= problem.limits()
    ):
        raise UserError(f"{device}, seed {problem.seed}: no network within the budget was found")
    return best


def _row(name: str, found: Sequence[Found], common: Phones, problem: Problem) -> dict[str, Any]:
    """A device: its own networks, what the common ones lose, and how other phones' do on it."""
    losses = [f[name].score - f[COMMON].score for f in found]
    ratios = {
        other: float(
            common.ratios(problem.rows([f[other].architecture for f in found]))[name].mean()
        )
        for other in found[0]
    }
    return {
        "device": name,
        "budget_ms": common.budgets[name],
        "own": float(np.mean([f[name].score for f in found])),
        "loss": float(np.mean(losses)),
        "interval": half_interval(losses),
        "latency_over_budget": ratios,
    }


def _differ(found: Sequence[Found], names: Sequence[str]) -> dict[str, float | None]:
    """Shares of choices with unequal values: between phones, and of one phone between seeds."""
    phones = [
        _apart(f[a].architecture, f[b].architecture)
        for f in found
        for a, b in combinations(names, 2)
    ]
    seeds = [
        _apart(f[n].architecture, g[n].architecture)
        for f, g in combinations(found, 2)
        for n in names
    ]
    shared = [_apart(f[n].architecture, f[COMMON].architecture) for f in found for n in names]
    return {
        "between_phones": float(np.mean(phones)),
        "between_seeds": float(np.mean(seeds)) if seeds else None,
        "own_and_common": float(np.mean(shared)),
    }


def _apart(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    return sum(a[name] != b[name] for name in a) / len(a)
