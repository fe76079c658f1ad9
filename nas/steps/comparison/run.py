"""Running a comparison: several steps at once, killed and started again at will."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from nas.progress import SILENT, Reporter
from nas.recipe.comparison import Comparison
from nas.steps.comparison.perform import perform
from nas.steps.comparison.plan import Step, plan, steps
from nas.steps.comparison.table import ComparisonResult, table
from search_spaces import UserError


def compare(
    comparison: Comparison,
    out: Path,
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    reporter: Reporter = SILENT,
) -> ComparisonResult:
    """Run what is missing of a comparison and write ``out/comparison.{json,csv,svg}``.

    Every step writes an ordinary run folder below ``out``; what is finished is kept, what was
    interrupted goes on from its checkpoint.

    Args:
        comparison: what to run.
        out: where the run folders lie.
        jobs: steps at once; more than one run in processes of their own.
        devices: CUDA devices that the processes are spread over, as CUDA_VISIBLE_DEVICES has them.
        reporter: shows progress.

    Raises:
        UserError: a variation that the recipe refuses; after everything else has run, a step
            that failed.
        Stopped: a signal came; start it again.
    """
    units = plan(comparison, out)
    todo = steps(units)
    with _alone(out, reporter):
        failed = _run(todo, out, jobs, devices, reporter)
        result = table(comparison, units)
        result.write(out)
    for says, error in failed.items():
        raise UserError(f"{len(failed)} of {len(todo)} steps failed; {says}: {error}")
    return result


@contextmanager
def _alone(out: Path, reporter: Reporter) -> Iterator[None]:
    """One comparison at a time in a folder, after the processes that a killed one left."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as own, (out / ".working").open("w") as workers:
        for file in (own, workers):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                reporter.say(f"{out}: waiting for another nas compare to end")
                fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(workers, fcntl.LOCK_UN)
        yield


def _run(
    todo: dict[Path, Step], out: Path, jobs: int, devices: Sequence[str], reporter: Reporter
) -> dict[str, str]:
    """Run the steps in an order that their needs allow; what failed, with why."""
    order = TopologicalSorter({key: step.after for key, step in todo.items()})
    order.prepare()
    failed: dict[str, str] = {}
    missing: set[Path] = set()
    running: dict[Future[str | None], Path] = {}
    done = sum(step.finished for step in todo.values())
    with (
        reporter.work("comparison", len(todo), done=done) as bar,
        _pool(jobs, devices, out) as pool,
    ):
        while order.is_active():
            for key in order.get_ready():
                step = todo[key]
                if step.finished or missing.intersection(step.after):
                    missing |= set() if step.finished else {key}
                    order.done(key)
                    continue
                reporter.say(step.says)
                # alone it speaks for itself
                voice = reporter if jobs == 1 else SILENT
                running[pool.submit(perform, step, out, voice)] = key
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                key = running.pop(future)
                error = future.result()
                if error is not None:
                    missing.add(key)
                    failed[todo[key].says] = error
                    reporter.warn(f"{todo[key].says}: {error}")
                bar.advance()
                order.done(key)
    return failed


class _Here(Executor):
    """Runs what it is given at once, in this process: no start-up, and signals arrive."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _pool(jobs: int, devices: Sequence[str], out: Path) -> Executor:
    if jobs == 1 and not devices:
        return _Here()
    context = multiprocessing.get_context("spawn")
    slots: SimpleQueue[str | None] = context.SimpleQueue()
    for index in range(jobs):
        slots.put(devices[index % len(devices)] if devices else None)
    arguments = (slots, os.getpid(), str(out / ".working"))
    return ProcessPoolExecutor(jobs, context, initializer=_start, initargs=arguments)


_held: list[Any] = []
"""What a process holds until it ends."""


def _start(slots: SimpleQueue[str | None], parent: int, working: str) -> None:
    """A process's device; and it ends where its parent was killed (on Linux at once)."""
    device = slots.get()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    file = Path(working).open("w")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_SH)
    _held.append(file)
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)
