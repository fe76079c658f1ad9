"""One record per kind of result; `nas.runs.results.reading` reads them from their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from nas.files import version, write_json
from nas.runs.results.fields import (
    Budget,
    CheckedArchitecture,
    Encoder,
    Layer,
    Record,
    Reference,
    Role,
    Shipped,
    clean,
)
from nas.tasks.score import Score

RESULT_SCHEMA = 1


def now() -> str:
    """The date of a result: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """What every result says: which step of what it is of, and under which conditions it came.

    Empty, or None, is what a file of an earlier version does not say.
    """

    step: str
    experiment: str = ""
    task: str = ""
    seed: int | None = None
    threads: int | None = None
    accelerator: str = ""
    version: str = field(default_factory=version)
    torch: str = ""
    date: str = field(default_factory=now)

    def to_dict(self) -> dict[str, Any]:
        """What the file holds, as plain JSON types; a number that is not finite is null."""
        plain = TypeAdapter(type(self)).dump_python(self, mode="json")
        found: dict[str, Any] = clean({"schema": RESULT_SCHEMA, **plain})
        return found

    def write(self, path: Path) -> None:
        """Replace the file."""
        write_json(path, self.to_dict())


@dataclass(frozen=True, kw_only=True)
class Trained(Result):
    """What a training says beside: what it took over all devices; ``memory_bytes`` is of one."""

    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    devices: int = 1
    device_hours: float | None = None
    updates: int | None = None
    skipped_steps: int | None = None
    images_per_second: float | None = None
    data_waiting_share: float | None = None
    memory_bytes: int | None = None
    skipped_images: Mapping[str, Any] = field(default_factory=dict)
    encoder: Encoder | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    """One entry an epoch."""


@dataclass(frozen=True, kw_only=True)
class SupernetResult(Trained):
    """Step 1. ``scores`` are of single sub-networks on the hold-out split."""

    step: Literal["supernet"] = "supernet"
    space: str
    space_fingerprint: str
    scores: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainResult(Trained):
    """Step 3. ``score`` is that of the test split, ``beside`` the task's second figure there.

    ``baseline`` says what a network of equal cost is held against; ``latency_predicted_ms`` is
    known where that cost is a latency.
    """

    step: Literal["train"] = "train"
    name: str
    role: Role
    weights: str = ""
    architecture: CheckedArchitecture
    macs: float | None = None
    params: float | None = None
    score: Score
    scores: Mapping[str, Score] = field(default_factory=dict)
    beside: Score | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    loss: float | None = None
    baseline: Mapping[str, str] | None = None
    latency_predicted_ms: float | None = None
    shipped: tuple[Shipped, ...] = ()
    """Its files in float32 and int8, where the recipe has ``train.quantization``."""


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(Result):
    """The score of a trained network on one split; printed, not stored.

    Of an exported file it says format, precision and size in place of MACs and parameters.
    """

    step: Literal["evaluate"] = "evaluate"
    network: str
    score: Score
    loss: float | None = None
    images: int
    details: Mapping[str, Any] = field(default_factory=dict)
    macs: float | None = None
    params: float | None = None
    format: str = ""
    precision: str = "float32"
    bytes: int | None = None


@dataclass(frozen=True)
class FamilyMember(Record):
    """The winner of one iteration of a search; iteration 0 is the largest network."""

    iteration: int
    score: Score
    metrics: Mapping[str, float]
    architecture: CheckedArchitecture
    slot: int = 0
    loss: float | None = None
    beside: Score | None = None
    """The task's second figure, where it has one."""
    interval: tuple[float, float] | None = None
    """The score's 95 % interval: what other hold-out images like these may give this network.

    It does not know that the network was chosen because its score was high (the winner's curse),
    so the network's own score is rather in its lower part, or below.
    """
    expected: float | None = None
    """What the search's model expects of the network, given everything that was evaluated."""


@dataclass(frozen=True, kw_only=True)
class SearchResult(Result):
    """Step 2: the family of a search and its best member.

    ``best`` is None where the search ended before every budget was met; ``stopped`` then says
    why (files of earlier versions: which metric blocked). ``evaluations`` counts candidates with
    a score, ``failures`` those without. ``seconds`` are of the whole search and of what its parts
    took, the evaluations of all workers together. ``tables`` are those that price a metric, with
    their devices.
    """

    step: Literal["search"] = "search"
    name: str = ""
    optimizer: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    space_fingerprint: str = ""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    table: Mapping[str, Any] | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    family: tuple[FamilyMember, ...]
    best: FamilyMember | None
    stopped: str | None = None
    evaluations: int | None = None
    failures: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the family knows, the descended ones first."""
        known = dict.fromkeys(name for member in self.family for name in member.metrics)
        return tuple(name for name in {**dict.fromkeys(self.budgets), **known} if name in known)

    @property
    def device(self) -> str:
        """Whose latency was searched for, in words; empty where none was."""
        if self.table is None:
            return ""
        return str(self.table.get("description") or self.table.get("name") or "")

    @property
    def role(self) -> Role:
        """What its best network is in a comparison."""
        drawn = self.optimizer == "random" or self.settings.get("rule") == "random"
        return "random" if drawn else "discovered"


@dataclass(frozen=True)
class Compared(Record):
    """One row of a comparison; unknown figures are None."""

    label: str
    role: Role
    score: Score | None = None
    beside: Score | None = None
    latency_predicted_ms: float | None = None
    latency_measured_ms: float | None = None
    macs: float | None = None
    params: float | None = None
    file: str | None = None
    architecture: CheckedArchitecture | None = None
    layers: tuple[Layer, ...] = ()

    @property
    def mark(self) -> str:
        """How it is drawn."""
        return self.role if self.role in ("largest", "scaled", "discovered") else "other"

    def metric(self, name: str) -> float | None:
        """The value of the metric ``name``, for the trade-off curve."""
        known = {
            "latency": self.latency_predicted_ms,
            "macs": self.macs,
            "params": self.params,
        }
        return known.get(name.partition("@")[0])


@dataclass(frozen=True, kw_only=True)
class RunResult(Result):
    """The three steps in turn: ``seconds`` of each, and what came of them."""

    step: Literal["run"] = "run"
    seconds: Mapping[str, float]
    device_hours: float | None = None
    score: Score
    architecture: CheckedArchitecture
    macs: float | None = None
    params: float | None = None


@dataclass(frozen=True, kw_only=True)
class QuickstartResult(Result):
    """All three steps with the networks that the discovered one is held against.

    ``seconds`` has a step ``table`` where this run measured one; the baselines' trainings are
    no step of the method and stand beside.
    """

    step: Literal["quickstart"] = "quickstart"
    device: str = ""
    table: str = ""
    seconds: Mapping[str, float]
    seconds_baselines: float | None = None
    comparison: tuple[Compared, ...]
