"""Work that a second core begins meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def head_start(task: Callable[..., object], *arguments: Any) -> Iterator[Callable[[], None]]:
    """Begin a task that can be gone on with, in another process if there is a core for it.

    It is a head start and nothing else: the caller does the task itself later, finds on disk what
    was done, and meets whatever error ended it. The other process is silent, and ends with the
    block and with this process, however that ends.

    Args:
        task: a function of a module; called again it goes on where it was stopped.
        arguments: its arguments, which can be pickled.

    Yields:
        What waits until the other process has ended.
    """
    if cores() < 2:
        yield lambda: None
        return
    process = multiprocessing.get_context("spawn").Process(
        target=_quietly, args=(task, arguments), daemon=True
    )
    with _deaf_to_ctrl_c():
        process.start()
    try:
        yield process.join
    finally:
        process.terminate()
        process.join()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which a terminal sends to all; this one ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quietly(task: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        task(*arguments)
    except Exception:
        sys.exit(1)


def _end_with_parent() -> None:
    """A parent that was killed can end nobody: its child watches it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
