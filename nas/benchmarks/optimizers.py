"""Searches side by side on an oracle: what they find within a budget, by evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lut import open_cost_model
from nas.benchmarks import once_for_all
from nas.metrics import macs, priced
from nas.optimizers import Member, Problem, Result
from nas.own_code import load_function
from nas.recipe.optimizers import open_optimizer
from nas.recipe.spaces import open_space
from nas.runs.statistics import half_interval
from search_spaces import SearchSpace, UserError
from search_spaces.batch import Matrix, Vector

Scores = Callable[[Matrix], Vector]
"""Networks as rows to what a search is told and what its find is judged by; shape (rows, 2)."""

COMPARED = (100, 200, 500, 1000, 2000, 5000)
"""Evaluations at which searches are compared."""

DEFAULT: dict[str, dict[str, Any]] = {
    "guided": {},
    "mcd": {},
    "mcd, one layer": {"optimizer": "mcd", "layers": 1},
    "nsga2": {},
    "tpe": {},
    "random": {},
}


@dataclass
class _Search:
    """One search: the score of the network that looks best within the budget, by evaluations."""

    curve: list[float] = field(default_factory=list)
    asking: float = 0.0
    area: float | None = None
    """The mean score of the family over costs, from the budget to the largest network's."""

    @property
    def reached(self) -> bool:
        """True where it found a network within the budget."""
        return math.isfinite(self.curve[-1])

    def at(self, evaluations: int) -> float:
        """The best score after so many evaluations, or after all where there were fewer."""
        return self.curve[min(evaluations, len(self.curve)) - 1]


def run(
    oracle: str = "",
    space: str = "once_for_all",
    device: str = "pixel1-cpu",
    optimizers: dict[str, dict[str, Any]] | None = None,
    budgets: list[float] | None = None,
    seeds: int = 10,
    evaluations: int = 500,
    samples: int = 16,
    noise: float = 0.0,
    reference: int = 0,
    picture: str = "",
) -> dict[str, Any]:
    """The best score that each search finds within a budget after equal evaluations.

    Args:
        oracle: Once-for-All's predictor (``.npz``), FILE.py:FUNCTION of an architecture, or a run
            folder with a trained super-network: one half of its hold-out is searched on, and what
            was found is judged by the other.
        space: of the function's architectures; ``once_for_all`` is the predictor's.
        device: whose latency is the cost; ``macs`` for multiply-accumulates.
        optimizers: label to settings, of which ``optimizer`` names another one than the label.
        budgets: shares of the largest network's cost.
        seeds: searches of each kind; they are paired by seed.
        evaluations: of each search; its iterations follow from the samples.
        samples: networks of an iteration.
        noise: standard deviation of what is added to the scores that a search is told; what it
            found is the oracle's own score of the network that looked best.
        reference: evaluations of a longer guided search, to which the regret is counted; 0: none.
        picture: where the curves are drawn, an SVG or PNG file.
    """
    if noise < 0:
        raise UserError(f"noise = {noise}: must be at least 0")
    searched, scores = open_oracle(oracle, space)
    cost = macs(searched) if device == "macs" else _latency(searched, device)
    largest = cost.of(searched.describe(searched.largest()))
    kinds = DEFAULT if optimizers is None else optimizers
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[list[float]]] = {}
    for share in [0.35, 0.5, 0.7] if budgets is None else budgets:
        found: dict[str, list[_Search]] = {}
        longest = None
        if reference:
            problem = Problem(searched, (cost,), {cost.name: share * largest}, seeds)
            longest = _search(problem, "guided", {}, scores, reference, 64, 0.0).curve[-1]
        for label, given in kinds.items():
            found[label] = []
            for seed in range(seeds):
                problem = Problem(searched, (cost,), {cost.name: share * largest}, seed)
                found[label].append(
                    _search(problem, label, given, scores, evaluations, samples, noise)
                )
            rows.append(_row(share, label, found, next(iter(kinds)), evaluations, longest))
            curves[f"{label}, {share:.0%}"] = [s.curve for s in found[label]]
    if picture:
        _draw(curves, Path(picture))
    return {
        "name": "optimizers",
        "value": rows[0]["best"],
        "unit": "score",
        "details": {
            "oracle": oracle,
            "space": searched.name,
            "cost": device,
            "seeds": seeds,
            "evaluations": evaluations,
            "samples": samples,
            "noise": noise,
            "reference": reference,
            "rows": rows,
        },
    }


def open_oracle(oracle: str, space: str) -> tuple[SearchSpace, Scores]:
    """The space of an oracle, and the scores of rows of its architectures.

    Raises:
        UserError: no oracle is named, or it cannot be read.
    """
    if oracle.endswith(".npz"):
        accuracy = once_for_all.Accuracy(Path(oracle))
        return once_for_all.space(), lambda rows: np.repeat(
            accuracy.batch(rows)[:, None], 2, axis=1
        )
    if not oracle:
        raise UserError(
            "--option oracle=…: a predictor's .npz, FILE.py:FUNCTION, or a run folder is needed"
        )
    if Path(oracle).is_dir():
        from nas.benchmarks.half_scores import HalfScores

        halves = HalfScores(Path(oracle))
        return halves.space, halves.both
    searched, score = open_space(space, {}), load_function(oracle)
    names = list(searched.choices)

    def scores(rows: Matrix) -> Vector:
        values = [dict(zip(names, row.tolist(), strict=True)) for row in rows]
        return np.repeat(np.array([[float(score(v))] for v in values]), 2, axis=1)

    return searched, scores


def _latency(searched: SearchSpace, device: str) -> Any:
    return priced(searched, "latency", open_cost_model(device, space=searched))


def _search(
    problem: Problem,
    label: str,
    given: Mapping[str, Any],
    scores: Scores,
    evaluations: int,
    samples: int,
    noise: float,
) -> _Search:
    settings = {"samples": samples, "iterations": max(1, (evaluations - 1) // samples), **given}
    name = settings.pop("optimizer", label)
    search, best, looked = _Search(), -math.inf, -math.inf
    true: dict[bytes, float] = {}
    source = np.random.default_rng([problem.seed, 77])
    optimizer = open_optimizer(name, problem, settings)
    while len(search.curve) < evaluations:
        started = time.perf_counter()
        candidates = optimizer.ask()
        search.asking += time.perf_counter() - started
        if not candidates:
            break
        rows = problem.rows([c.architecture for c in candidates])
        seen, values = scores(rows).T
        for row, value in zip(rows, values.tolist(), strict=True):
            true[row.tobytes()] = value
        told = seen + noise * source.standard_normal(len(values))
        within = np.all(problem.costs(rows) <= problem.limits(), axis=1)
        for value, looks, fits in zip(values.tolist(), told.tolist(), within.tolist(), strict=True):
            if fits and looks > looked:
                best, looked = value, looks
            search.curve.append(best)
        started = time.perf_counter()
        optimizer.tell([Result(c, float(v)) for c, v in zip(candidates, told, strict=True)])
        search.asking += time.perf_counter() - started
    search.curve = search.curve[:evaluations]
    search.area = _area(problem, optimizer.family, true)
    return search


def _area(problem: Problem, family: Sequence[Member], true: Mapping[bytes, float]) -> float | None:
    """The mean, over costs from the budget to the largest network's, of the true score of the
    member that looks best at that cost or below; None where none keeps the budget.
    """
    name = problem.metrics[0].name
    budget, top = problem.budgets[name], family[0].metrics[name]
    scores = []
    for cost in np.linspace(budget, top, 200):
        below = [member for member in family if member.metrics[name] <= cost]
        if not below:
            return None
        looks = max(below, key=lambda member: member.score)
        scores.append(true[problem.rows([looks.architecture]).tobytes()])
    return float(np.mean(scores))


def _row(
    share: float,
    label: str,
    found: Mapping[str, list[_Search]],
    first: str,
    evaluations: int,
    longest: float | None,
) -> dict[str, Any]:
    searches = found[label]
    reached = [s for s in searches if s.reached]
    ends = np.array([s.curve[-1] for s in reached])
    pairs = zip(searches, found[first], strict=True)
    apart = np.array([a.curve[-1] - b.curve[-1] for a, b in pairs if a.reached and b.reached])
    areas = [s.area for s in searches]
    points = [n for n in COMPARED if n < evaluations]
    return {
        "budget": share,
        "optimizer": label,
        "best": float(ends.mean()) if len(ends) else None,
        "spread": float(ends.std(ddof=1)) if len(ends) > 1 else None,
        "reached": len(reached),
        "evaluations": int(np.mean([len(s.curve) for s in searches])),
        f"minus_{first}": float(apart.mean()) if len(apart) else None,
        "interval": half_interval(apart.tolist()),
        "area": None if None in areas else float(np.mean([a for a in areas if a is not None])),
        "regret": float(longest - ends.mean()) if longest is not None and len(ends) else None,
        "curve": {str(n): _mean([s.at(n) for s in searches]) for n in points},
        "seconds_per_evaluation": float(np.mean([s.asking / len(s.curve) for s in searches])),
    }


def _mean(values: list[float]) -> float | None:
    finite = [v for v in values if math.isfinite(v)]
    return float(np.mean(finite)) if len(finite) == len(values) else None


def _draw(curves: Mapping[str, list[list[float]]], out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    panel = figure.subplots()
    for label, runs in curves.items():
        length = max(map(len, runs))
        padded = np.array([r + r[-1:] * (length - len(r)) for r in runs])
        padded[~np.isfinite(padded)] = np.nan
        panel.plot(np.arange(1, length + 1), padded.mean(axis=0), label=label, linewidth=1)
    panel.set_xlabel("evaluations")
    panel.set_ylabel("mean of the best score within the budget")
    panel.legend(fontsize=6)
    figure.savefig(out)
