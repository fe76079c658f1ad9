"""What a report shows, read from the result files of a run folder.

Every part may be missing (a run that has only searched so far); a file that is there must be
whole and one of ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from search_spaces import Architecture, SearchSpace, UserError, space_of

RESULT_SCHEMA = 1

STEPS = ("table", "encoder", "supernet", "search", "train")
"""The three steps of the method in order, each timed on its own; before them the measuring of a
latency table and the training that an encoder starts from, where a run had them."""

Role = Literal["largest", "scaled", "discovered", "other"]

UNITS = {"latency": "ms", "macs": "MACs", "params": "parameters"}
"""The units of the metrics that the project itself defines."""


@dataclass(frozen=True)
class Score:
    """A value of the task's score; ``unit`` is printed behind it."""

    name: str
    value: float
    unit: str = ""
    higher_is_better: bool = True
    split: str = ""

    @property
    def text(self) -> str:
        """The value as it is printed."""
        if self.unit == "%":
            return f"{self.value:.1f} %"
        if self.unit in ("", "fraction"):
            return f"{self.value:.4f}"
        return f"{self.value:.3g} {self.unit}"


@dataclass(frozen=True)
class Layer:
    """The latency of one operation of a network, in milliseconds."""

    name: str
    type: str
    milliseconds: float


@dataclass(frozen=True)
class Compared:
    """One row of the table that compares networks; unknown figures are None."""

    label: str
    role: Role
    score: Score | None = None
    latency_predicted_ms: float | None = None
    latency_measured_ms: float | None = None
    macs: float | None = None
    params: float | None = None
    architecture: Architecture | None = None
    beside: Score | None = None
    layers: tuple[Layer, ...] = ()

    def metric(self, name: str) -> float | None:
        """The value of the metric ``name``, for the trade-off curve."""
        known = {
            "latency": self.latency_predicted_ms,
            "macs": self.macs,
            "params": self.params,
        }
        return known.get(name.partition("@")[0])


@dataclass(frozen=True)
class Member:
    """The winner of one iteration of a search; iteration 0 is the largest network."""

    iteration: int
    score: Score | None
    metrics: Mapping[str, float]
    architecture: Architecture | None
    beside: Score | None = None
    """The task's second figure, where it has one."""


@dataclass(frozen=True)
class Search:
    """The family that one search found, with what it was found for."""

    name: str
    family: tuple[Member, ...]
    best: Member | None
    budgets: Mapping[str, float] = field(default_factory=dict)
    device: str = ""
    optimizer: str = ""
    seed: int | None = None
    evaluations: int | None = None
    seconds: float | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the family knows, the descended ones first."""
        names = dict.fromkeys(self.budgets)
        for member in self.family:
            names.update(dict.fromkeys(member.metrics))
        known = {name for member in self.family for name in member.metrics}
        return tuple(name for name in names if name in known)


@dataclass(frozen=True)
class Run:
    """Everything that one run folder tells."""

    name: str
    path: Path
    compared: tuple[Compared, ...]
    searches: tuple[Search, ...]
    seconds: Mapping[str, float]
    """Step → seconds; steps that have not run are missing."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Short things worth printing: task, device, seed, version."""
    examples: Mapping[str, Path] = field(default_factory=dict)
    """Name of a training → picture of what its network makes of a few test images."""

    @property
    def space(self) -> SearchSpace | None:
        """The space of the run's networks, None where it is unknown or has changed."""
        architecture = self.discovered
        if architecture is None:
            return None
        try:
            return space_of(architecture)
        except UserError:
            return None

    @property
    def discovered(self) -> Architecture | None:
        """The network that the run found."""
        for row in self.compared:
            if row.role == "discovered" and row.architecture is not None:
                return row.architecture
        for search in self.searches:
            if search.best is not None and search.best.architecture is not None:
                return search.best.architecture
        return None

    def row(self, role: Role) -> Compared | None:
        """The first compared network of this role."""
        return next((row for row in self.compared if row.role == role), None)


def load_run(path: Path) -> Run:
    """Read a run folder, or the folder of one of its searches.

    Args:
        path: ``runs/<experiment>``, or a folder whose ``result.json`` holds a family.

    Raises:
        UserError: nothing to report is there, or a file is truncated or not ours.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such run folder")
    top = _read(path / "result.json") or {}
    searches: list[Search] = []
    if "family" in top:
        searches.append(_search(path / "result.json", path.name, top))
    for file in sorted((path / "search").glob("*/result.json")):
        searches.append(_search(file, file.parent.name, _read(file) or {}))
    supernet = _read(path / "supernet" / "result.json")
    trained = [(file, _read(file) or {}) for file in sorted((path / "train").glob("*/result.json"))]
    compared = tuple(
        _compared(path / "result.json", entry) for entry in _list(top.get("comparison"))
    )
    if compared:
        # further members of the family that were trained since
        known = {row.role for row in compared}
        more = [(f, data) for f, data in trained if f.parent.name not in known]
        rows = (_trained(file, data, searches) for file, data in more)
        compared += tuple(replace(row, role="other") for row in rows)
    else:
        compared = tuple(_trained(file, data, searches) for file, data in trained)
        if any(row.label == "discovered" for row in compared):
            # by its name; then what else was trained is not
            compared = tuple(
                replace(row, role="other")
                if row.role == "discovered" and row.label != "discovered"
                else row
                for row in compared
            )
    seconds = _all_seconds(top, supernet, searches, [data for _, data in trained])
    if not (compared or searches or seconds):
        raise UserError(f"{path}: no result of a run in here; a report needs a result.json")
    return Run(
        name=str(top.get("experiment") or path.resolve().name),
        path=path,
        compared=compared,
        searches=tuple(searches),
        seconds=seconds,
        facts=_facts(top, searches),
        examples={
            file.parent.name: drawn
            for file, _ in trained
            if (drawn := file.with_name("examples.png")).is_file()
        },
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON, truncated? ({error})") from None
    if not isinstance(data, dict) or "schema" not in data:
        raise UserError(f"{path}: not a result of this project: it has no 'schema'")
    if data["schema"] != RESULT_SCHEMA:
        raise UserError(
            f"{path}: result has schema {data['schema']!r}, this version reads {RESULT_SCHEMA}"
        )
    return data


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _score(data: Any) -> Score | None:
    if isinstance(data, Mapping):
        value = _number(data.get("value"))
        if value is None:
            return None
        return Score(
            name=str(data.get("name", "score")),
            value=value,
            unit=str(data.get("unit") or ""),
            higher_is_better=bool(data.get("higher_is_better", True)),
            split=str(data.get("split") or ""),
        )
    value = _number(data)
    return None if value is None else Score("score", value)


def _architecture(path: Path, data: Any) -> Architecture | None:
    if data is None:
        return None
    try:
        return Architecture.from_dict(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _role(data: Mapping[str, Any]) -> Role:
    stated = str(data.get("role") or data.get("label") or "").lower()
    roles: tuple[Role, ...] = ("largest", "scaled", "discovered")
    for role in roles:
        if role in stated:
            return role
    return "other"


def _compared(path: Path, data: Any) -> Compared:
    if not isinstance(data, Mapping):
        raise UserError(f"{path}: an entry of 'comparison' is not an object")
    layers = []
    for layer in _list(data.get("layers")):
        value = _number(layer.get("latency_ms")) if isinstance(layer, Mapping) else None
        if value is not None:
            layers.append(Layer(str(layer.get("name", "")), str(layer.get("type", "")), value))
    return Compared(
        label=str(data.get("label", "network")),
        role=_role(data),
        score=_score(data.get("score")),
        beside=_score(data.get("beside")),
        latency_predicted_ms=_number(data.get("latency_predicted_ms")),
        latency_measured_ms=_number(data.get("latency_measured_ms")),
        macs=_number(data.get("macs")),
        params=_number(data.get("params")),
        architecture=_architecture(path, data.get("architecture")),
        layers=tuple(layers),
    )


def _trained(path: Path, data: Mapping[str, Any], searches: Sequence[Search]) -> Compared:
    """A row from the result of step 3, where no comparison was stored."""
    metrics = _metrics(data)
    architecture = _architecture(path, data.get("architecture"))
    for member in (member for search in searches for member in search.family):
        if architecture is not None and member.architecture == architecture:
            metrics = {**member.metrics, **metrics}
    name = path.parent.name
    role = _role({"label": name})
    if role == "other" and architecture is not None and "baseline" not in data:
        role = "discovered"
    macs, params = metrics.get("macs"), metrics.get("params")
    if architecture is not None and (macs is None or params is None):
        try:
            network = space_of(architecture).describe(architecture)
            macs, params = float(network.macs), float(network.params)
        except UserError:
            pass  # another version of the space: the stored figures are all there is
    return Compared(
        label=name,
        role=role,
        score=_score(data.get("test") or data.get("score")),
        beside=_score(data.get("beside")),
        latency_predicted_ms=metrics.get("latency", metrics.get("latency_predicted_ms")),
        latency_measured_ms=metrics.get("latency_measured_ms"),
        macs=macs,
        params=params,
        architecture=architecture,
    )


NOT_METRICS = {
    "iteration",
    "slot",
    "score",
    "beside",
    "loss",
    "trial",
    "evaluations",
    "seed",
    "schema",
}


def _metrics(data: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a family entry, nested under 'metrics' or beside the architecture."""
    nested = data.get("metrics")
    source = nested if isinstance(nested, Mapping) else data
    found = {}
    for name, value in source.items():
        number = _number(value.get("value") if isinstance(value, Mapping) else value)
        if number is not None and name not in NOT_METRICS and not name.startswith("seconds"):
            found[str(name)] = number
    return found


def _member(path: Path, index: int, data: Any) -> Member:
    if not isinstance(data, Mapping):
        raise UserError(f"{path}: entry {index} of the family is not an object")
    iteration = data.get("iteration")
    return Member(
        iteration=iteration if isinstance(iteration, int) else index,
        score=_score(data.get("score")),
        beside=_score(data.get("beside")),
        metrics=_metrics(data),
        architecture=_architecture(path, data.get("architecture")),
    )


def _search(path: Path, name: str, data: Mapping[str, Any]) -> Search:
    family = tuple(_member(path, i, entry) for i, entry in enumerate(_list(data.get("family"))))
    best: Member | None = family[-1] if family else None
    stated = data.get("best")
    if isinstance(stated, Mapping):
        best = _member(path, len(family), stated)
    elif isinstance(stated, int) and 0 <= stated < len(family):
        best = family[stated]
    budgets = data.get("budgets")
    device = data.get("table") or data.get("device")
    if isinstance(device, Mapping):
        device = device.get("description") or device.get("name")
    evaluations = _number(data.get("evaluations"))
    seed = _number(data.get("seed"))
    return Search(
        name=str(data.get("name") or name),
        family=family,
        best=best,
        budgets={
            str(key): number
            for key, value in (budgets.items() if isinstance(budgets, Mapping) else ())
            if (number := _number(value.get("value") if isinstance(value, Mapping) else value))
            is not None
        },
        device=str(device or ""),
        optimizer=str(data.get("optimizer") or ""),
        seed=None if seed is None else int(seed),
        evaluations=None if evaluations is None else int(evaluations),
        seconds=_seconds(data, "search"),
    )


def _seconds(data: Mapping[str, Any] | None, step: str) -> float | None:
    """The seconds of a step: a number, or under the step's name or 'total' of a mapping."""
    value = (data or {}).get("seconds")
    if isinstance(value, Mapping):
        for key in (step, "total"):
            if (number := _number(value.get(key))) is not None:
                return number
        return None
    return _number(value)


def _all_seconds(
    top: Mapping[str, Any],
    supernet: Mapping[str, Any] | None,
    searches: Sequence[Search],
    trained: Sequence[Mapping[str, Any]],
) -> dict[str, float]:
    """Seconds per step: as the run states them, else from each step's own result."""
    stated = top.get("seconds")
    if isinstance(stated, Mapping):
        found = {step: _number(stated.get(step)) for step in STEPS}
    else:
        found = dict.fromkeys(STEPS)
    encoder = (supernet or {}).get("encoder")
    own = {
        "encoder": [_seconds(encoder, "encoder") if isinstance(encoder, Mapping) else None],
        "supernet": [_seconds(supernet, "supernet")],
        "search": [search.seconds for search in searches[:1]],
        "train": [_seconds(data, "train") for data in trained[:1]],
    }
    for step in STEPS:
        if found[step] is None:
            values = [value for value in own.get(step, []) if value is not None]
            found[step] = sum(values) if values else None
    return {step: value for step, value in found.items() if value}


def _facts(top: Mapping[str, Any], searches: Sequence[Search]) -> dict[str, str]:
    facts = {}
    for key in ("task", "device", "threads", "seed", "version", "date"):
        value = top.get(key)
        if isinstance(value, Mapping):
            value = value.get("description") or value.get("name")
        if value not in (None, ""):
            facts[key] = str(value)
    if searches:
        search = searches[0]
        for key, value in (
            ("device", search.device),
            ("seed", search.seed),
            ("optimizer", search.optimizer),
            ("evaluations", search.evaluations),
        ):
            if value not in (None, ""):
                facts.setdefault(key, str(value))
    return facts
