"""The ``nas`` command: it parses, calls the public functions and prints."""

from __future__ import annotations

import errno
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from nas.neighbours import stranger

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 2 for a user's mistake, 1 for a fault of ours.

    ``nas`` on the shell calls it with the process's own arguments and exits with the status.
    """
    hidden = stranger()
    if hidden is not None:
        return _refuse(hidden)
    with _interrupts() as interrupted:
        try:
            status = _told(list(sys.argv[1:] if arguments is None else arguments), interrupted)
        except KeyboardInterrupt:
            status = INTERRUPTED
        if status == INTERRUPTED and interrupted:
            _tell_interrupted()
        return status


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The signals of Ctrl-C so far: libraries that are interrupted while they are imported or
    read raise whatever they like, and typer tells nothing."""
    found: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield found
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        found.append(signum)
        raise KeyboardInterrupt

    previous = signal.getsignal(signal.SIGINT)
    if previous is signal.SIG_IGN:  # as the parent wants it
        yield found
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, previous)


def _told(arguments: list[str], interrupted: Sequence[int]) -> int:
    """Run a command; what goes wrong is told in a line."""
    from nas.progress import speaks
    from search_spaces import UserError

    try:
        return _run(arguments)
    except UserError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _refuse(
                "the disk is full; free space, then go on with --resume: what was written is whole"
            )
        if error.filename is None:
            traceback.print_exc()
            return 1
        return _refuse(f"{error.filename}: {error.strerror}")
    except Exception as error:
        if interrupted:
            return INTERRUPTED
        kind = type(error).__name__
        if kind == "Stopped":
            if speaks():
                print(f"nas: {error}", file=sys.stderr)
            return int(getattr(error, "exit_code", 1))
        if kind in ("OutOfMemoryError", "MemoryError"):
            return _refuse(
                "out of memory; lower search.batch_size or the batch_size of the step (or set its "
                "accumulate), or the space's resolution"
            )
        traceback.print_exc()
        return 1


def _run(arguments: list[str]) -> int:
    import typer

    from nas.cli.app import app

    try:
        status = typer.main.get_command(app).main(arguments, prog_name="nas", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        # typer carries its own copy of click, whose exceptions have no public name
        if any(c.__name__ == "ClickException" for c in type(error).__mro__):
            return _refuse(error.format_message())  # type: ignore[attr-defined]
        raise
    return status if isinstance(status, int) else 0


def _tell_interrupted() -> None:
    from nas.progress import speaks

    if speaks():
        words = "nas: interrupted; what was written is whole, and the same command goes on"
        print(f"{words}, a step of a run with --resume", file=sys.stderr)


def _refuse(message: str) -> int:
    print("nas: " + " ".join(message.split()), file=sys.stderr)
    return 2
