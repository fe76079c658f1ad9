"""Step 2 from start to ``result.json``: one process, or several that share a study."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.files import version
from nas.optimizers.base import Optimizer
from nas.progress import SILENT, Reporter
from nas.runs.folder import StepFolder
from nas.runs.results import SearchResult
from nas.search.database import damaged, sqlite_url
from nas.search.evaluators.base import Evaluator
from nas.search.record import Direction, Record
from nas.search.worker import Closed, OnIteration, Worker
from nas.training.interrupt import Stopped, stop_on_signal
from nas.urls import shown
from search_spaces import UserError


def run_search(
    optimizer: Optimizer,
    evaluator: Evaluator,
    folder: Path,
    *,
    name: str = "search",
    storage: str | None = None,
    experiment: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    resume: bool = False,
    workers: int = 1,
    worker_command: Sequence[str] = (),
    on_iteration: OnIteration = lambda closed: None,
    reporter: Reporter = SILENT,
) -> SearchResult:
    """Run a search to its end and write ``result.json`` and TensorBoard events into ``folder``.

    A resumed search ends in the same family as one that was never interrupted, and so does one
    with any number of workers (on equal hardware with equal thread counts).

    Args:
        optimizer: a fresh one.
        evaluator: scores the candidates.
        folder: of this search; made where it is missing.
        name: of the study.
        storage: URL of the study's database; default an SQLite file in ``folder``.
        experiment: stored with the study, for workers that join with nothing but its URL.
        facts: fields of the result that every result has: task, threads.
        resume: go on with what the study holds.
        workers: processes that evaluate, this one included.
        worker_command: starts one more worker; ``--study URL`` is appended.
        on_iteration: called for every complete iteration, recorded ones included.
        reporter: shows progress.

    Raises:
        UserError: the study holds a search and ``resume`` is off, or holds a different one; the
            database does not answer.
        Stopped: a signal came; ``resume`` goes on.
    """
    from torch.utils.tensorboard import SummaryWriter

    from nas.search.journal import Journal

    folder.mkdir(parents=True, exist_ok=True)
    files = StepFolder(folder)
    url = storage or sqlite_url(files.study)
    record = _open(url, name, optimizer, evaluator, experiment, resume=resume)
    before = _seconds(record)
    started = time.perf_counter()
    with (
        SummaryWriter(str(folder), purge_step=0) as events,
        stop_on_signal() as signals,
        _others(workers - 1, worker_command, url, name, files),
        reporter.work(f"search {name}", 1.0) as bar,
    ):
        journal = Journal(optimizer, evaluator, events, bar, reporter)

        def closed(iteration: Closed) -> None:
            journal.closed(iteration)
            on_iteration(iteration)

        worker = Worker(
            record,
            optimizer,
            evaluator,
            on_iteration=closed,
            on_candidate=journal.evaluated,
            stop=lambda: signals.signum is not None,
        )
        finished = worker.run()
        wall = time.perf_counter() - started
        record.set_attributes({"seconds": before + wall})
        if not finished:
            assert signals.signum is not None
            raise Stopped(signals.signum, f"the study is at {shown(url)}")
        journal.ended()
        seconds = {"search": before + wall, "overhead": max(0.0, wall - worker.evaluating)}
        result = journal.result(name, seconds, facts or {})
        result.write(files.result)
    return result


def join_search(
    url: str,
    build: Callable[[Mapping[str, Any]], tuple[Optimizer, Evaluator]],
    *,
    name: str | None = None,
    reporter: Reporter = SILENT,
) -> int:
    """Work as one more worker of a search that was started elsewhere, until it is done.

    Args:
        url: of the study's database.
        build: makes optimizer and evaluator from the experiment that was stored with the study.
        name: of the study; may be left out where the database holds only one.
        reporter: shows progress.

    Returns:
        How many candidates this process evaluated.

    Raises:
        UserError: no such study, or data, tables, weights or settings here differ from those of
            the process that started the search.
        Stopped: a signal came.
    """
    record = Record.open(url, name)
    attributes = record.attributes()
    optimizer, evaluator = build(attributes["experiment"])
    _check_identity(record, attributes.get("identity"), identity(optimizer, evaluator))
    count = 0

    def counted(slot: object) -> None:
        nonlocal count
        count += 1
        bar.advance()

    with stop_on_signal() as signals, reporter.work(f"worker of {record.name}", 0) as bar:
        worker = Worker(
            record,
            optimizer,
            evaluator,
            on_candidate=counted,
            stop=lambda: signals.signum is not None,
        )
        if not worker.run():
            assert signals.signum is not None
            raise Stopped(signals.signum, f"{count} candidates were evaluated here")
    return count


def identity(optimizer: Optimizer, evaluator: Evaluator) -> dict[str, Any]:
    """Everything that decides a search's family; equal in all its processes."""
    problem = optimizer.problem
    return {
        "space": problem.space.fingerprint,
        "resolution": problem.space.resolution,
        "optimizer": optimizer.name,
        "settings": optimizer.settings(),
        "budgets": {name: float(value) for name, value in problem.budgets.items()},
        "metrics": {metric.name: metric.identity for metric in problem.metrics},
        "seed": problem.seed,
        "evaluator": evaluator.describe(),
    }


def _open(
    url: str,
    name: str,
    optimizer: Optimizer,
    evaluator: Evaluator,
    experiment: Mapping[str, Any] | None,
    *,
    resume: bool,
) -> Record:
    metric = optimizer.problem.metrics[0]
    own = identity(optimizer, evaluator)
    score: Direction = "maximize" if evaluator.higher_is_better else "minimize"
    record = Record.create(
        url,
        name,
        objectives=[(evaluator.score_name, score), (metric.name, "minimize")],
        attributes={"experiment": dict(experiment or {}), "version": version(), "identity": own},
    )
    stored = record.attributes()
    _check_identity(record, stored.get("identity"), own)
    if not resume and record.slots(0):
        raise UserError(
            f"{shown(url)}: study {name!r} holds a search already; go on with --resume, or choose "
            "another --name"
        )
    return record


def _check_identity(record: Record, stored: Any, own: Mapping[str, Any]) -> None:
    if not isinstance(stored, Mapping):
        raise damaged(record.url, TypeError(f"its identity is {stored!r}"))
    for key in own:
        if stored.get(key) != own[key]:
            raise UserError(
                f"{shown(record.url)}: study {record.name!r} belongs to a search with another "
                f"{key} ({_difference(stored.get(key), own[key])}); choose another --name or --out"
            )


def _difference(there: Any, here: Any) -> str:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*here, *(k for k in there if k not in here)]:
            if there.get(key) != here.get(key):
                return f"{key}: {_difference(there.get(key), here.get(key))}"
    return f"{there!r} there, {here!r} here"


def _seconds(record: Record) -> float:
    """What earlier, interrupted runs of this search took, as far as they could say so."""
    found = record.attributes().get("seconds", 0.0)
    return float(found) if isinstance(found, int | float) else 0.0


@contextmanager
def _others(
    count: int, command: Sequence[str], url: str, name: str, folder: StepFolder
) -> Iterator[None]:
    """Further workers of this machine, for as long as the search goes on."""
    if count > 0 and not command:
        raise UserError(f"workers = {count + 1} needs a command that starts a worker")
    logs = [folder.log(i + 1).open("w") for i in range(count)]
    arguments = [*command, "--study", url, "--name", name]
    # each takes the next accelerator of this machine, as a rank of a training does
    processes = [
        subprocess.Popen(
            arguments, stdout=log, stderr=log, env={**os.environ, "LOCAL_RANK": str(number)}
        )
        for number, log in enumerate(logs, 1)
    ]
    try:
        yield
        for process in processes:
            # they see the last iteration complete as this process did
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.terminate()
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
        for log in logs:
            log.close()
