"""Where measured tables are kept, and which one belongs to a device and a space."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import asdict
from pathlib import Path

from lut.cost import DeviceInfo
from lut.devices.base import device_identity
from lut.probes import METHOD, Surroundings
from lut.table import Table
from search_spaces import UserError

ENVIRONMENT = "NAS_CACHE"
"""The environment variable that moves the cache folder."""


def cache_folder() -> Path:
    """The user's cache folder of this program: ``NAS_CACHE``, or the system's usual place."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "netadapt"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netadapt"


def table_path(
    info: DeviceInfo, around: Surroundings, space: str, folder: Path | None = None
) -> Path:
    """The file of a device's table: one for the kind of networks, or for the very networks
    (of the space with this `lut.build.space_key`) that operations were timed behind."""
    kind = "streaming" if around.stream_bytes else "resident"
    if around.behind:
        kind = hashlib.sha256(space.encode()).hexdigest()[:8]
    name = f"{info.name}-{info.precision}-{kind}-{device_identity(info)}.json"
    return (folder or cache_folder()) / "tables" / name


def open_cached(path: Path, info: DeviceInfo, around: Surroundings, *, fresh: bool) -> Table:
    """The stored table, or an empty one; one that was measured otherwise is refused.

    Raises:
        UserError: the file is damaged.
    """
    empty = Table(
        device=info,
        source="nas lut build",
        conditions={
            "method": METHOD[info.precision],
            **asdict(around),
            "behind": list(around.behind),
        },
    )
    if fresh or not path.exists():
        return empty
    try:
        table = Table.load(path)
    except UserError as error:
        raise UserError(f"{error}; delete the file, or build with --fresh") from None
    same = table.device == info and table.conditions == empty.conditions
    return table if same else empty


def covered_spaces(table: Table) -> set[str]:
    """The spaces that a table was completed for, see `lut.build.space_key`."""
    return set(table.notes.get("spaces", ()))


def cached_tables(folder: Path | None = None) -> list[tuple[Path, Table]]:
    """All readable tables of the cache, the largest first."""
    found = []
    for path in sorted(((folder or cache_folder()) / "tables").glob("*.json")):
        try:
            found.append((path, Table.load(path)))
        except UserError:
            continue
    return sorted(found, key=lambda pair: -len(pair[1]))
