"""The table of a comparison: means over seeds, paired differences, and what each row cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nas.files import replacing, write_json, write_text
from nas.recipe.comparison import Comparison
from nas.runs.folder import StepFolder
from nas.runs.results import SearchResult, SupernetResult, TrainResult, load_result
from nas.runs.statistics import half_interval, mean, spread
from nas.steps.comparison.plan import Unit, member_within


@dataclass(frozen=True)
class Point:
    """One variation and seed. ``seconds`` are of the steps that the method needs."""

    seed: int
    score: float
    macs: float | None
    params: float | None
    cost: float | None
    evaluations: int | None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One variation: its points by seed and what they say together.

    ``difference`` is the mean of the paired differences to the first row, ``interval`` half its
    95 % interval (Student's t).
    """

    label: str
    points: tuple[Point, ...]
    mean: float | None
    spread: float | None
    difference: float | None
    interval: float | None
    cost: float | None
    macs: float | None
    evaluations: float | None
    seconds: dict[str, float]


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison came to; ``score`` and ``cost`` name the columns with their units."""

    name: str
    description: str
    seeds: tuple[int, ...]
    score: str
    cost: str
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"schema": 1, "step": "compare", **asdict(self)}

    def to_csv(self) -> str:
        """One line for each variation and seed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        timed = ("supernet", "search", "train")
        head = ("variation", "seed", self.score, self.cost, "MACs", "parameters", "evaluations")
        writer.writerow([*head, *(f"{name} (s)" for name in timed)])
        for row in self.rows:
            for p in row.points:
                times = [p.seconds.get(name, 0.0) for name in timed]
                figures = [p.score, p.cost, p.macs, p.params, p.evaluations]
                writer.writerow([row.label, p.seed, *figures, *times])
        return text.getvalue()

    def write(self, out: Path) -> None:
        """``comparison.json``, ``.csv`` and ``.svg``, the points of every seed."""
        write_json(out / "comparison.json", self.to_dict())
        write_text(out / "comparison.csv", self.to_csv())
        if any(row.points for row in self.rows):
            from nas.report import points_figure

            figure = points_figure(
                {row.label: [p.score for p in row.points] for row in self.rows}, self.score
            )
            with replacing(out / "comparison.svg") as file:
                figure.savefig(file, format="svg", bbox_inches="tight")


def table(comparison: Comparison, units: Sequence[Unit]) -> ComparisonResult:
    """The table of all that is finished."""
    found: dict[str, dict[int, Point]] = {label: {} for label in comparison.variations}
    score = cost = ""
    for unit in units:
        if not unit.training.result.is_file():
            continue
        trained = load_result(unit.training.result, TrainResult)
        found[unit.label][unit.seed] = _point(unit, trained)
        score = f"{trained.score.name} ({trained.score.unit})"
        searched = load_result(unit.search.result, SearchResult)
        name, budget = next(iter(searched.budgets.items()))
        cost = f"{name} ({budget.unit})"
    first = found[next(iter(found))]
    rows = tuple(_row(label, points, first) for label, points in found.items())
    return ComparisonResult(
        comparison.name, comparison.description, tuple(comparison.seeds), score, cost, rows
    )


def _point(unit: Unit, trained: TrainResult) -> Point:
    searched = load_result(unit.search.result, SearchResult)
    metric = next(iter(searched.budgets))
    seconds = {"train": trained.seconds}
    evaluations = None
    if unit.baseline is None:
        seconds = {"search": searched.seconds.get("search", 0.0), **seconds}
        if unit.supernet is not None:
            seconds = {"supernet": _supernet_seconds(unit.supernet), **seconds}
        evaluations = searched.evaluations
        member = searched.best
        if unit.within is not None:
            member = searched.family[member_within(unit.search.result, unit.within)]
        cost = None if member is None else member.metrics[metric]
    else:
        known = {"latency": trained.latency_predicted_ms, "macs": trained.macs}
        cost = {**known, "params": trained.params}.get(metric.partition("@")[0])
    return Point(
        unit.seed, trained.score.value, trained.macs, trained.params, cost, evaluations, seconds
    )


def _supernet_seconds(folder: StepFolder) -> float:
    return load_result(folder.result, SupernetResult).seconds


def _row(label: str, points: dict[int, Point], first: dict[int, Point]) -> Row:
    scores = [p.score for p in points.values()]
    apart = [points[s].score - first[s].score for s in points if s in first]
    known = list(points.values())
    names = dict.fromkeys(name for p in known for name in p.seconds)
    return Row(
        label,
        tuple(known),
        mean(scores),
        spread(scores),
        mean(apart),
        half_interval(apart) if points is not first else None,
        mean([p.cost for p in known if p.cost is not None]),
        mean([p.macs for p in known if p.macs is not None]),
        mean([p.evaluations for p in known if p.evaluations is not None]),
        {name: mean([p.seconds.get(name, 0.0) for p in known]) or 0.0 for name in names},
    )
