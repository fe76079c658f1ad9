"""What run folders and the cache take on disk, and what of it can go."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lut.cache import cache_folder
from nas.runs.folder import StepFolder
from search_spaces import UserError

TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
"""The name of a file that is being written, with the process that writes it."""


@dataclass(frozen=True)
class Usage:
    """A run folder, or the cache: ``size`` bytes, of which ``removable`` take ``freed`` bytes."""

    path: Path
    size: int
    removable: tuple[Path, ...]
    freed: int


def usage_of_run(folder: Path) -> Usage:
    """What a run folder, or a folder of several, takes.

    Removable are checkpoints of finished steps, candidates of finished searches, and what a
    killed process left half written. Weights, results, studies and what an interrupted step goes
    on from are not.

    Raises:
        UserError: no run lies there.
    """
    steps = [StepFolder(path.parent) for path in sorted(folder.rglob("config.yaml"))]
    if not steps:
        raise UserError(f"{folder}: no run folder")
    found = [path for step in steps for path in step.spent]
    for step in steps:
        for path in step.path.rglob(".*.tmp"):
            inside = any(path.is_relative_to(other) for other in found)
            if not inside and _abandoned(path):
                found.append(path)
    return Usage(folder, size_of(folder), tuple(found), sum(map(size_of, found)))


def usage_of_cache() -> Usage:
    """The measured tables of this user, which are measured again when they are needed."""
    folder = cache_folder() / "tables"
    size = size_of(folder)
    return Usage(folder, size, (folder,) if folder.is_dir() else (), size)


def remove(paths: Sequence[Path]) -> None:
    """Remove files and folders; what is gone already is no mistake."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files below a folder; links are not followed."""
    if path.is_symlink() or not path.exists():
        return 0
    if path.is_file():
        return path.stat().st_size
    total = 0
    for root, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_size
            except FileNotFoundError:
                continue  # another process is at work here
    return total


def _abandoned(path: Path) -> bool:
    """True where no process of this machine can be writing the file any more."""
    match = TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
