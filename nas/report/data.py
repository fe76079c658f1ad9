"""What a report shows, gathered from the results in a run folder.

Every part may be missing (a run that has only searched so far); a file that is there must be
whole and one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nas.runs.folder import RunFolder
from nas.runs.results import (
    Compared,
    QuickstartResult,
    Result,
    Role,
    RunResult,
    SearchResult,
    Shipped,
    SupernetResult,
    TrainResult,
    load_any,
    load_result,
)
from search_spaces import Architecture, SearchSpace, UserError, space_of

STEPS = ("table", "encoder", "supernet", "search", "train")
"""The three steps of the method in order, each timed on its own; before them the measuring of a
latency table and the training that an encoder starts from, where a run had them."""

UNITS = {"latency": "ms", "macs": "MACs", "params": "parameters", "peak_memory": "B"}
"""The units of the metrics that the project itself defines."""


@dataclass(frozen=True)
class Run:
    """Everything that one run folder tells."""

    name: str
    path: Path
    compared: tuple[Compared, ...]
    searches: tuple[SearchResult, ...]
    seconds: Mapping[str, float]
    """Step → seconds; steps that have not run are missing."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Short things worth printing: task, device, seed, version."""
    shipped: Mapping[str, tuple[Shipped, ...]] = field(default_factory=dict)
    """Name of a training → its files in float32 and int8."""
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
        row = self.row("discovered")
        if row is not None and row.architecture is not None:
            return row.architecture
        found = (search.best for search in self.searches if search.best is not None)
        return next((best.architecture for best in found), None)

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
    folder = RunFolder(path)
    top = load_any(folder.result) if folder.result.is_file() else None
    searches = tuple(
        load_result(step.result, SearchResult) for step in folder.searches if step.result.is_file()
    )
    if isinstance(top, SearchResult):
        searches = (top, *searches)
    first = folder.supernet.result
    supernet = load_result(first, SupernetResult) if first.is_file() else None
    trained = {
        step: load_result(step.result, TrainResult)
        for step in folder.trainings
        if step.result.is_file()
    }
    compared = top.comparison if isinstance(top, QuickstartResult) else ()
    # those of the comparison are called by their role; further ones were trained since
    shown = {row.role for row in compared}
    compared += tuple(_row(t, searches) for t in trained.values() if t.name not in shown)
    seconds = _seconds(top, supernet, searches, list(trained.values()))
    if not (compared or searches or seconds):
        raise UserError(f"{path}: no result of a run in here; a report needs a result.json")
    return Run(
        name=_name(top, path),
        path=path,
        compared=compared,
        searches=searches,
        seconds=seconds,
        facts=_facts(top, searches),
        shipped={t.name: t.shipped for t in trained.values() if t.shipped},
        examples={step.name: step.examples for step in trained if step.examples.is_file()},
    )


def _name(top: Result | None, path: Path) -> str:
    whole = isinstance(top, QuickstartResult | RunResult)
    return (top.experiment if top is not None and whole else "") or path.resolve().name


def _row(trained: TrainResult, searches: Sequence[SearchResult]) -> Compared:
    """A row of the comparison from the result of step 3; the searches know what it costs."""
    architecture = trained.architecture
    metrics: dict[str, float] = {}
    for member in (member for search in searches for member in search.family):
        if member.architecture == architecture:
            metrics.update(member.metrics)
    macs, params = trained.macs, trained.params
    if macs is None or params is None:
        try:
            network = space_of(architecture).describe(architecture)
            macs, params = float(network.macs), float(network.params)
        except UserError:
            pass  # another version of the space: the stored figures are all there is
    predicted = trained.latency_predicted_ms
    return Compared(
        label=trained.name,
        role=trained.role,
        score=trained.score,
        beside=trained.beside,
        latency_predicted_ms=metrics.get("latency") if predicted is None else predicted,
        macs=macs,
        params=params,
        architecture=architecture,
    )


def _seconds(
    top: Result | None,
    supernet: SupernetResult | None,
    searches: Sequence[SearchResult],
    trained: Sequence[TrainResult],
) -> dict[str, float]:
    """Seconds per step: as the run states them, else from each step's own result."""
    found: dict[str, float] = {}
    if supernet is not None:
        found["supernet"] = supernet.seconds
        if supernet.encoder is not None:
            found["encoder"] = supernet.encoder.seconds or 0.0
    if searches:
        found["search"] = searches[0].seconds.get("search", 0.0)
    if trained:
        found["train"] = trained[0].seconds
    if isinstance(top, QuickstartResult | RunResult):
        found |= top.seconds
    return {step: found[step] for step in STEPS if found.get(step)}


def _facts(top: Result | None, searches: Sequence[SearchResult]) -> dict[str, str]:
    facts: dict[str, object] = {}
    if top is not None:
        device = top.device if isinstance(top, QuickstartResult | SearchResult) else ""
        facts = {
            "task": top.task,
            "device": device,
            "threads": top.threads,
            "seed": top.seed,
            "version": top.version,
            "date": top.date,
        }
    if searches:
        search = searches[0]
        further = {
            "device": search.device,
            "seed": search.seed,
            "optimizer": search.optimizer,
            "evaluations": search.evaluations,
        }
        facts = {**further, **{k: v for k, v in facts.items() if v not in (None, "")}}
    return {key: str(value) for key, value in facts.items() if value not in (None, "")}
