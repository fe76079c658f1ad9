"""The record of a search: every candidate is a trial of an Optuna study.

Optuna's database is the only state that processes share. Its public interface creates one trial
per transaction, and its ask/tell neither claims a waiting trial atomically with a heartbeat nor
frees one whose process died without any. So this file reads and writes Optuna's tables itself,
in transactions of its own; the result is an ordinary study that optuna and optuna-dashboard open.

A trial is WAITING, then RUNNING while a worker has claimed it and renews its heartbeat, then
COMPLETE, or FAIL where the candidate has no score. A claim that is not renewed for
``CLAIM_SECONDS`` is WAITING again. (iteration, slot) in the user attributes is a candidate's
identity; a slot has one trial, and the first worker to complete it counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import optuna
import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from nas.optimizers.base import Candidate
from nas.search import rows
from nas.search.database import engine, patiently, quiet, sqlite_path, storage
from nas.search.evaluators.base import Evaluation
from nas.search.rows import (
    ATTRIBUTES,
    HEARTBEATS,
    STUDIES,
    STUDY_ATTRIBUTES,
    TRIALS,
    VALUES,
    Slot,
)
from nas.search.worker_names import is_dead
from nas.urls import shown
from search_spaces import SearchSpace, UserError

CLAIM_SECONDS = 60.0
"""A claim that was not renewed for so long is free again."""

RENEW_SECONDS = 10.0
"""How often a worker renews its claim."""

Direction = Literal["maximize", "minimize"]


class Record:
    """One study in a database.

    Args:
        url: of the database, as SQLAlchemy writes it.
        study: the study's number in it.
        name: the study's name.
    """

    def __init__(self, url: str, study: int, name: str) -> None:
        self.url = url
        self.study = study
        self.name = name
        self._engine = engine(url)
        self._trials: dict[int, dict[int, tuple[int, dict[str, int]]]] = {}

    # creating and opening ----------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        url: str,
        name: str,
        *,
        objectives: Sequence[tuple[str, Direction]],
        attributes: Mapping[str, Any],
    ) -> Record:
        """Make the study, or open the one of that name.

        Args:
            url: of the database.
            name: of the study.
            objectives: (name, ``maximize`` or ``minimize``) of score and descended metric.
            attributes: the study's user attributes; kept as they are in an existing study.
        """

        def make() -> int:
            with quiet():
                study = optuna.create_study(
                    study_name=name,
                    storage=storage(url),
                    directions=[direction for _, direction in objectives],
                    load_if_exists=True,
                )
                study.set_metric_names([metric for metric, _ in objectives])
            return study._study_id

        record = cls(url, patiently(make, url), name)
        if "identity" not in record.attributes():
            record.set_attributes(attributes)
        return record

    @classmethod
    def open(cls, url: str, name: str | None = None) -> Record:
        """Open an existing study; ``name`` may be left out where there is only one.

        Raises:
            UserError: no such database or study, or one that no search wrote.
        """
        path = sqlite_path(url)
        if path is not None and not path.is_file():
            raise UserError(f"{path}: no such study; start the search first")
        summaries = patiently(lambda: storage(url).get_all_studies(), url)
        found = [s for s in summaries if name is None or s.study_name == name]
        if len(found) != 1:
            known = ", ".join(s.study_name for s in summaries) or "none"
            what = f"no study {name!r}" if name else "more or less than one study"
            raise UserError(f"{shown(url)}: {what}; it holds: {known}")
        record = cls(url, found[0]._study_id, found[0].study_name)
        if "identity" not in record.attributes():
            raise UserError(f"{shown(url)}: study {record.name!r} was not written by a search")
        return record

    def attributes(self) -> dict[str, Any]:
        """The study's user attributes."""

        def read() -> dict[str, Any]:
            with self._transaction() as connection:
                found = connection.execute(
                    sa.select(STUDY_ATTRIBUTES.c.key, STUDY_ATTRIBUTES.c.value_json).where(
                        STUDY_ATTRIBUTES.c.study_id == self.study
                    )
                ).all()
            return {key: json.loads(value) for key, value in found}

        return patiently(read, self.url)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of the study, all or none."""

        def write() -> None:
            with self._transaction() as connection:
                self._lock(connection)
                rows.write_attributes(connection, self.study, attributes)

        patiently(write, self.url)

    # iterations --------------------------------------------------------------------------------

    def open_iteration(
        self,
        iteration: int,
        candidates: Sequence[Candidate],
        space: SearchSpace,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Enqueue all candidates of an iteration, in one transaction.

        The trials' existence says that the iteration before is closed, so closing one and opening
        the next is one transaction. Does nothing and returns False where they are there already.

        Args:
            iteration: of the candidates.
            candidates: with their metrics.
            space: names and values of the choices, recorded as the trials' parameters.
            attributes: of the study, written along.
        """
        distributions = {n: rows.distribution(c.values) for n, c in space.choices.items()}
        texts = {name: distribution_to_json(d) for name, d in distributions.items()}

        def write() -> bool:
            with self._transaction() as connection:
                self._lock(connection)
                if self._find(connection, iteration):
                    return False
                rows.enqueue(connection, self.study, iteration, candidates, texts)
                rows.write_attributes(connection, self.study, attributes or {})
            return True

        return patiently(write, self.url)

    def slots(self, iteration: int) -> dict[int, Slot]:
        """The candidates of an iteration by slot; empty while it is not open."""

        def read() -> dict[int, Slot]:
            with self._transaction() as connection:
                known = self._find(connection, iteration)
                states: dict[int, TrialState] = dict(
                    connection.execute(
                        sa.select(TRIALS.c.trial_id, TRIALS.c.state).where(
                            TRIALS.c.trial_id.in_(list(known))
                        )
                    ).all()
                )
                results = rows.results_of(
                    connection, [t for t in known if rows.is_finished(states[t])]
                )
            return {
                slot: Slot(trial, iteration, slot, choices, states[trial], **results.get(trial, {}))
                for trial, (slot, choices) in known.items()
            }

        return patiently(read, self.url)

    # claims ------------------------------------------------------------------------------------

    def claim(self, slots: Sequence[Slot], worker: str) -> Slot | None:
        """Take the first of the slots that still waits; None where none does."""
        by_trial = {slot.trial: slot for slot in slots}

        def write() -> Slot | None:
            while True:
                with self._transaction() as connection:
                    waiting = connection.execute(
                        sa.select(sa.func.min(TRIALS.c.trial_id))
                        .where(TRIALS.c.trial_id.in_(list(by_trial)))
                        .where(TRIALS.c.state == TrialState.WAITING)
                    ).scalar()
                    if waiting is None:
                        return None
                    changed = connection.execute(
                        sa.update(TRIALS)
                        .where(TRIALS.c.trial_id == waiting)
                        .where(TRIALS.c.state == TrialState.WAITING)
                        .values(state=TrialState.RUNNING, datetime_start=rows.now())
                    )
                    if changed.rowcount == 1:
                        # with its first heartbeat, so that no claim is without one
                        rows.beat(connection, waiting)
                        rows.replace_attribute(connection, waiting, "worker", worker)
                        return by_trial[waiting]

        return patiently(write, self.url)

    def release(self, slot: Slot) -> None:
        """Give a claim back unfinished."""

        def write() -> None:
            with self._transaction() as connection:
                connection.execute(
                    sa.update(TRIALS)
                    .where(TRIALS.c.trial_id == slot.trial)
                    .where(TRIALS.c.state == TrialState.RUNNING)
                    .values(state=TrialState.WAITING)
                )

        patiently(write, self.url)

    def renew(self, trial: int) -> None:
        """Say that a claim's worker is alive."""
        with self._transaction() as connection:
            rows.beat(connection, trial)

    def free_expired(self, slots: Sequence[Slot], *, worker: str) -> int:
        """Free the claims that were not renewed, and those of dead processes of this machine.

        Returns:
            How many were freed.
        """
        trials = [slot.trial for slot in slots if slot.state == TrialState.RUNNING]
        if not trials:
            return 0

        def write() -> int:
            with self._transaction() as connection:
                now = connection.execute(sa.select(sa.func.now())).scalar_one()
                limit = now.replace(tzinfo=None) - timedelta(seconds=CLAIM_SECONDS)
                owners = connection.execute(
                    sa.select(ATTRIBUTES.c.trial_id, ATTRIBUTES.c.value_json)
                    .where(ATTRIBUTES.c.trial_id.in_(trials))
                    .where(ATTRIBUTES.c.key == "worker")
                ).all()
                dead = [t for t, text in owners if is_dead(json.loads(text), worker)]
                expired = sa.select(HEARTBEATS.c.trial_id).where(HEARTBEATS.c.heartbeat < limit)
                return connection.execute(
                    sa.update(TRIALS)
                    .where(TRIALS.c.trial_id.in_(trials))
                    .where(TRIALS.c.state == TrialState.RUNNING)
                    .where(sa.or_(TRIALS.c.trial_id.in_(dead), TRIALS.c.trial_id.in_(expired)))
                    .values(state=TrialState.WAITING)
                ).rowcount

        return patiently(write, self.url)

    def complete(self, slot: Slot, evaluation: Evaluation, metric: float) -> bool:
        """Store a score; False, and nothing stored, where another worker was first.

        Args:
            slot: what was evaluated.
            evaluation: its score, loss and seconds.
            metric: the descended metric, the study's second objective.
        """
        attributes: dict[str, Any] = {
            "score": evaluation.score,
            "loss": evaluation.loss,
            "seconds": evaluation.seconds,
        }
        if evaluation.beside is not None:
            attributes["beside"] = dict(evaluation.beside)
        if evaluation.interval is not None:
            attributes["interval"] = list(evaluation.interval)
        values = [evaluation.score, metric]
        return self._finish(slot, TrialState.COMPLETE, attributes, values)

    def fail(self, slot: Slot, reason: str, seconds: float) -> bool:
        """Store that the candidate has no score."""
        return self._finish(slot, TrialState.FAIL, {"error": reason, "seconds": seconds}, [])

    def _finish(
        self, slot: Slot, state: TrialState, attributes: Mapping[str, Any], values: Sequence[float]
    ) -> bool:
        finite = models.TrialValueModel.TrialValueType.FINITE

        def write() -> bool:
            with self._transaction() as connection:
                changed = connection.execute(
                    sa.update(TRIALS)
                    .where(TRIALS.c.trial_id == slot.trial)
                    .where(TRIALS.c.state.in_([TrialState.RUNNING, TrialState.WAITING]))
                    .values(state=state, datetime_complete=rows.now())
                )
                if changed.rowcount != 1:
                    return False
                told = [rows.attribute(slot.trial, k, v) for k, v in attributes.items()]
                connection.execute(sa.insert(ATTRIBUTES), told)
                if values:
                    connection.execute(
                        sa.insert(VALUES),
                        [
                            {
                                "trial_id": slot.trial,
                                "objective": i,
                                "value": value,
                                "value_type": finite,
                            }
                            for i, value in enumerate(values)
                        ],
                    )
            return True

        return patiently(write, self.url)

    # inside a transaction ----------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def _lock(self, connection: Connection) -> None:
        """Make other writers of this study wait until the transaction ends, on any database."""
        connection.execute(
            sa.update(STUDIES)
            .where(STUDIES.c.study_id == self.study)
            .values(study_name=STUDIES.c.study_name)
        )

    def _find(
        self, connection: Connection, iteration: int
    ) -> dict[int, tuple[int, dict[str, int]]]:
        """Trial → slot and choices; never changes once an iteration is open."""
        if not self._trials.get(iteration):
            self._trials[iteration] = rows.trials_of(connection, self.study, iteration)
        return self._trials[iteration]
