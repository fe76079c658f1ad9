"""Names of processes, from which another process can tell whether they live."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_worker() -> str:
    """The name of this process, from which another one can tell whether it lives."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def is_dead(worker: str, observer: str) -> bool:
    """True where ``worker`` was a process of the observer's machine and is gone."""
    host, pid, started = worker.rsplit(" ", 2)
    if host != observer.rsplit(" ", 2)[0]:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where that cannot be known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
