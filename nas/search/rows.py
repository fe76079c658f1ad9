"""The rows of a search in Optuna's tables: what stands in them, read and written by SQL.

Every function works within the transaction of its caller, `nas.search.record.Record`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from optuna.distributions import IntDistribution
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from nas.optimizers.base import Candidate

STUDIES = models.StudyModel.__table__
TRIALS = models.TrialModel.__table__
VALUES = models.TrialValueModel.__table__
PARAMS = models.TrialParamModel.__table__
ATTRIBUTES = models.TrialUserAttributeModel.__table__
STUDY_ATTRIBUTES = models.StudyUserAttributeModel.__table__
HEARTBEATS = models.TrialHeartbeatModel.__table__


RESULTS = ("score", "loss", "seconds", "beside", "interval", "error")
"""A trial's attributes that its evaluation writes."""


@dataclass(frozen=True)
class Slot:
    """A candidate as recorded. ``score`` is None until it is complete, and where it failed."""

    trial: int
    iteration: int
    slot: int
    choices: Mapping[str, int]
    state: TrialState
    score: float | None = None
    loss: float = 0.0
    seconds: float = 0.0
    beside: Mapping[str, Any] | None = None
    interval: Sequence[float] | None = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        """True when it was evaluated, with or without a score."""
        return self.state in (TrialState.COMPLETE, TrialState.FAIL)


def trials_of(
    connection: Connection, study: int, iteration: int
) -> dict[int, tuple[int, dict[str, int]]]:
    """Trial → slot and choices of an iteration, by slot; empty while it is not open."""
    wanted = (
        sa.select(TRIALS.c.trial_id)
        .join(ATTRIBUTES, ATTRIBUTES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study)
        .where(ATTRIBUTES.c.key == "iteration")
        .where(ATTRIBUTES.c.value_json == json.dumps(iteration))
    )
    found: dict[int, dict[str, Any]] = {}
    for trial, key, text in connection.execute(
        sa.select(ATTRIBUTES.c.trial_id, ATTRIBUTES.c.key, ATTRIBUTES.c.value_json)
        .where(ATTRIBUTES.c.trial_id.in_(wanted))
        .where(ATTRIBUTES.c.key.in_(["slot", "architecture"]))
    ):
        found.setdefault(trial, {})[key] = json.loads(text)
    return {
        trial: (data["slot"], data["architecture"])
        for trial, data in sorted(found.items(), key=lambda item: item[1]["slot"])
    }


def results_of(connection: Connection, trials: list[int]) -> dict[int, dict[str, Any]]:
    """Trial → what it came to."""
    results: dict[int, dict[str, Any]] = {}
    if trials:
        for trial, key, text in connection.execute(
            sa.select(ATTRIBUTES.c.trial_id, ATTRIBUTES.c.key, ATTRIBUTES.c.value_json)
            .where(ATTRIBUTES.c.trial_id.in_(trials))
            .where(ATTRIBUTES.c.key.in_(RESULTS))
        ):
            value = json.loads(text)
            if key in ("score", "loss", "seconds") and not isinstance(value, int | float | None):
                raise ValueError(f"trial {trial}: {key} = {value!r}")
            results.setdefault(trial, {})[key] = value
    return results


def beat(connection: Connection, trial: int) -> None:
    """Say that a trial's worker is alive."""
    changed = connection.execute(
        sa.update(HEARTBEATS).where(HEARTBEATS.c.trial_id == trial).values(heartbeat=sa.func.now())
    )
    if changed.rowcount == 0:
        connection.execute(sa.insert(HEARTBEATS).values(trial_id=trial, heartbeat=sa.func.now()))


def write_attributes(connection: Connection, study: int, attributes: Mapping[str, Any]) -> None:
    """Replace user attributes of a study."""
    for key, value in attributes.items():
        own = (STUDY_ATTRIBUTES.c.study_id == study) & (STUDY_ATTRIBUTES.c.key == key)
        connection.execute(sa.delete(STUDY_ATTRIBUTES).where(own))
        connection.execute(
            sa.insert(STUDY_ATTRIBUTES).values(
                study_id=study, key=key, value_json=json.dumps(value)
            )
        )


def is_finished(state: TrialState) -> bool:
    """True when a trial was evaluated, with or without a score."""
    return state in (TrialState.COMPLETE, TrialState.FAIL)


def now() -> datetime:
    """As Optuna stores times: UTC without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def attribute(trial: int, key: str, value: Any) -> dict[str, Any]:
    """A row of a trial's user attributes."""
    return {"trial_id": trial, "key": key, "value_json": json.dumps(value)}


def replace_attribute(connection: Connection, trial: int, key: str, value: Any) -> None:
    """Set one user attribute of a trial."""
    own = (ATTRIBUTES.c.trial_id == trial) & (ATTRIBUTES.c.key == key)
    connection.execute(sa.delete(ATTRIBUTES).where(own))
    connection.execute(sa.insert(ATTRIBUTES).values(**attribute(trial, key, value)))


def distribution(values: Sequence[int]) -> IntDistribution:
    """The values of a choice, as Optuna describes a parameter."""
    step = math.gcd(*(b - a for a, b in pairwise(values))) or 1
    return IntDistribution(values[0], values[-1], step=step)


def enqueue(
    connection: Connection,
    study: int,
    iteration: int,
    candidates: Sequence[Candidate],
    distributions: Mapping[str, str],
) -> None:
    """Add a waiting trial for every candidate of an iteration.

    Args:
        connection: of the transaction.
        study: the study's number.
        iteration: of the candidates.
        candidates: with their metrics.
        distributions: choice → its `distribution`, as Optuna writes it.
    """
    number = connection.execute(
        sa.select(sa.func.count()).where(TRIALS.c.study_id == study)
    ).scalar_one()
    parameters, attached = [], []
    for i, candidate in enumerate(candidates):
        key = connection.execute(
            sa.insert(TRIALS).values(number=number + i, study_id=study, state=TrialState.WAITING)
        ).inserted_primary_key
        assert key is not None
        trial = key[0]
        choices = dict(candidate.architecture)
        for name, value in (
            ("iteration", iteration),
            ("slot", candidate.slot),
            ("architecture", choices),
            ("metrics", dict(candidate.metrics)),
        ):
            attached.append(attribute(trial, name, value))
        parameters += [
            {
                "trial_id": trial,
                "param_name": name,
                "param_value": float(value),
                "distribution_json": distributions[name],
            }
            for name, value in choices.items()
        ]
    connection.execute(sa.insert(ATTRIBUTES), attached)
    connection.execute(sa.insert(PARAMS), parameters)
