"""What a search found, and its file."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nas.files import write_json
from nas.metrics.additive import AdditiveMetric
from nas.optimizers.base import Member, Optimizer
from nas.search.evaluators.base import Evaluator

RESULT_SCHEMA = 1


@dataclass(frozen=True)
class SearchResult:
    """The family of a search and its best member.

    ``best`` is None where the search ended before every budget was met; `stopped` then says
    which metric blocks it. ``evaluations`` counts candidates with a score, ``failures`` those
    without. ``seconds`` are of the whole search and of what its parts took, the evaluations of
    all workers together.
    """

    name: str
    optimizer: str
    settings: Mapping[str, Any]
    space_fingerprint: str
    score: Mapping[str, Any]
    budgets: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Any]
    family: Sequence[Member]
    best: Member | None
    stopped: str | None
    evaluations: int
    failures: int
    seconds: Mapping[str, float]
    seed: int
    folder: Path
    beside: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Iteration → the winner's second figure, of tasks that have one."""
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def entry(self, member: Member) -> dict[str, Any]:
        """A member of the family as it stands in the file."""
        return {
            "iteration": member.iteration,
            "slot": member.slot,
            "score": {**self.score, "value": member.score},
            **({"beside": self.beside[member.iteration]} if self.beside else {}),
            "loss": member.loss,
            "metrics": dict(member.metrics),
            "architecture": member.architecture.to_dict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """The content of ``result.json``."""
        table = next(iter(self.tables.values()), None)
        return {
            "schema": RESULT_SCHEMA,
            "kind": "search",
            "name": self.name,
            "optimizer": self.optimizer,
            "settings": dict(self.settings),
            "space_fingerprint": self.space_fingerprint,
            "budgets": {name: dict(budget) for name, budget in self.budgets.items()},
            "table": table,
            "tables": dict(self.tables),
            "family": [self.entry(member) for member in self.family],
            "best": None if self.best is None else self.entry(self.best),
            "stopped": self.stopped,
            "evaluations": self.evaluations,
            "failures": self.failures,
            "seconds": dict(self.seconds),
            "seed": self.seed,
            "version": version(),
            "date": self.date,
        }

    def write(self) -> Path:
        """Write ``result.json`` into the search's folder."""
        path = self.folder / "result.json"
        write_json(path, self.to_dict())
        return path


def score_of(evaluator: Evaluator) -> dict[str, Any]:
    """Everything of a score but its value."""
    return {
        "name": evaluator.score_name,
        "unit": evaluator.unit,
        "higher_is_better": evaluator.higher_is_better,
        "split": "holdout",
    }


def tables_of(optimizer: Optimizer) -> dict[str, Any]:
    """The identity and device of every metric that a table prices."""
    return {
        metric.name: {"identity": metric.identity, **asdict(metric.device)}
        for metric in optimizer.problem.metrics
        if isinstance(metric, AdditiveMetric) and metric.device is not None
    }


def version() -> str:
    """The installed version of this package."""
    try:
        return importlib.metadata.version("netadapt")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
