"""What commands print: tables for people or one JSON object, progress and messages beside it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from nas.progress import speaks
from nas.tasks.score import Score

QUIET_SECONDS = 20.0
"""Without a terminal there is no bar; a line at least this far apart takes its place."""

PIPE_WIDTH = 160


class _Bar:
    """Progress on a terminal, or lines now and then where there is none."""

    def __init__(self, output: Output, what: str, total: float, done: float) -> None:
        self._output = output
        self._what = what
        self._total = total
        self._start = self._done = done
        self._note = ""
        self._started = self._spoken = time.monotonic()
        self._progress: Progress | None = None
        self._id = TaskID(0)

    def open(self, progress: Progress) -> None:
        self._progress = progress
        self._id = progress.add_task(
            self._what, total=self._total, completed=int(self._done), note=""
        )

    def advance(self, steps: float = 1) -> None:
        """So many more steps are done."""
        self._done += steps
        if self._progress is not None:
            self._progress.advance(self._id, steps)
            return
        now = time.monotonic()
        if now - self._spoken > QUIET_SECONDS and self._done > self._start:
            self._spoken = now
            rate = (now - self._started) / (self._done - self._start)
            left = max(0.0, self._total - self._done) * rate
            share = 100 * self._done / self._total if self._total else 100.0
            self._output.say(f"{self._what}: {share:.0f} % {self._note}({left:.0f} s left)")

    def note(self, text: str) -> None:
        """A short state beside the bar."""
        self._note = f"{text} "
        if self._progress is not None:
            self._progress.update(self._id, note=text)


class Output:
    """Where a command writes: results to standard output, everything else to standard error."""

    def __init__(self, *, as_json: bool, stdout: Any) -> None:
        self.as_json = as_json
        self._stdout = stdout
        # in a pipe or file there is no width to keep to
        self.console = Console(file=stdout, width=None if stdout.isatty() else PIPE_WIDTH)
        self._errors = Console(stderr=True, highlight=False, quiet=not speaks())

    def say(self, text: str) -> None:
        """One line of information."""
        self._errors.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line that should not be missed."""
        self._errors.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def work(self, what: str, total: float, *, done: float = 0) -> Iterator[_Bar]:
        """A progress bar with the time left."""
        bar = _Bar(self, what, total, done)
        if not self._errors.is_terminal:
            yield bar
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._errors, transient=True) as progress:
            bar.open(progress)
            yield bar

    def result(self, data: Mapping[str, Any], render: Callable[[], RenderableType | str]) -> None:
        """The command's result: the JSON object, or what ``render`` makes of it for people."""
        if not speaks():
            return
        if self.as_json:
            self._stdout.write(json.dumps(data, allow_nan=False) + "\n")
        else:
            self.console.print(render())
        self._stdout.flush()


@contextmanager
def output(as_json: bool) -> Iterator[Output]:
    """The output of one command.

    With JSON everything else that is written to standard output, also by libraries in C, goes to
    standard error, so that exactly one object is left there.
    """
    if not as_json:
        yield Output(as_json=False, stdout=sys.stdout)
        return
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        with os.fdopen(os.dup(saved), "w", encoding="utf-8") as real:
            os.dup2(2, 1)
            yield Output(as_json=True, stdout=real)
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def facts(title: str, rows: Mapping[str, Any]) -> Table:
    """A table of two columns."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def count(value: float) -> str:
    """A large number for people: 219.3 M."""
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.2f} {letter}"
    return f"{value:g}"


def score_text(score: Score) -> str:
    """A score, for people."""
    return f"{score.value:.4g} {score.unit} {score.name} ({score.split})"


def file_size(size: float) -> str:
    """Bytes, for people: 12.4 MB."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_of:
            return f"{size / bytes_of:.1f} {unit}"
    return f"{size:.0f} B"
