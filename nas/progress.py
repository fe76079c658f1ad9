"""How long work reports itself: the library calls, the command line decides what is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


def speaks() -> bool:
    """False in all but the first of several processes that torchrun started together."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1 or os.environ.get("RANK", "0") == "0"


class Bar(Protocol):
    """One piece of work under way."""

    def advance(self, steps: float = 1) -> None:
        """So many more steps are done."""
        ...

    def note(self, text: str) -> None:
        """A short state shown beside the bar."""
        ...


class Reporter(Protocol):
    """Where messages and progress go; standard output is never theirs."""

    @contextmanager
    def work(self, what: str, total: float, *, done: float = 0) -> Iterator[Bar]:
        """Announce work of ``total`` steps, of which ``done`` were done before."""
        ...

    def say(self, text: str) -> None:
        """One line of information."""
        ...

    def warn(self, text: str) -> None:
        """One line that should not be missed."""
        ...


class _SilentBar:
    def advance(self, steps: float = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Silent:
    """Shows nothing."""

    @contextmanager
    def work(self, what: str, total: float, *, done: float = 0) -> Iterator[Bar]:
        yield _SilentBar()

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


SILENT: Reporter = Silent()


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
