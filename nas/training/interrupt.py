"""A signal asks the loop to write a checkpoint and stop; it does not tear it apart."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):  # noqa: N818  no error: it was asked for
    """The run was asked to stop and has written its checkpoint."""

    def __init__(self, signum: int, where: str) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; {where}; go on with --resume")
        self.exit_code = 128 + signum


class StopFlag:
    """Set by the first signal."""

    signum: int | None = None


@contextmanager
def stop_on_signal() -> Iterator[StopFlag]:
    """Turn SIGTERM and SIGINT into a flag; a second one ends the process as usual.

    Outside the main thread, where Python allows no handlers, the flag is never set.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}

    def handle(signum: int, frame: FrameType | None) -> None:
        flag.signum = signum
        for s, handler in previous.items():
            signal.signal(s, handler)

    for s in previous:
        signal.signal(s, handle)
    try:
        yield flag
    finally:
        for s, handler in previous.items():
            signal.signal(s, handler)
