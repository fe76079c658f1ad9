"""Building: which operations a space needs in a table, and having them measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lut.cache import covered_spaces, open_cached, table_path
from lut.cost import Precision
from lut.coverage import plan, reachable
from lut.devices.base import Interleaving, MeasuringDevice, ProgressCallback
from lut.entries import Entry, measure_entries
from lut.probes import Surroundings, interleaved, streaming
from lut.references import References
from lut.table import Table
from search_spaces import Network, SearchSpace


def working_set(network: Network) -> int:
    """Bytes that one inference goes through: all weights, and the two widest maps."""
    sizes = sorted(
        channels * height * width
        for operation in network.operations
        for channels, height, width in (operation.output_shape,)
    )
    return 4 * (network.params + sum(sizes[-2:]))


def build_table(
    spaces: Sequence[SearchSpace],
    device: MeasuringDevice,
    *,
    precision: Precision = "float32",
    folder: Path | None = None,
    fresh: bool = False,
    on_progress: ProgressCallback | None = None,
) -> Table:
    """The device's table for these spaces; what the cache already holds is not measured again.

    A grid of widths is measured and the table interpolates between them, see `lut.coverage`.
    The table is stored in the cache while it grows, so an interrupted build goes on where it
    stopped.

    Args:
        spaces: whose operations must be covered. On a device that can call networks between
            files, operations are timed behind networks of the first.
        device: what measures.
        precision: of the files.
        folder: the cache; default `lut.cache.cache_folder`.
        fresh: measure all over again.
        on_progress: files done and left, with the time left.

    Raises:
        UserError: the device is lost or cannot be used; what was measured is kept.
    """
    around = _surroundings(spaces, device)
    info = device.info(precision)
    path = table_path(info, around, space_key(spaces[0]), folder)
    table = open_cached(path, info, around, fresh=fresh)
    if all(space_key(space) in covered_spaces(table) for space in spaces):
        return table
    _measure(table, spaces, device, around, path, on_progress)
    known = covered_spaces(table) | {space_key(space) for space in spaces}
    table.notes = {**table.notes, "spaces": sorted(known)}
    table.save(path)
    return table


def space_key(space: SearchSpace) -> str:
    """What decides which operations a space has."""
    return f"{space.name}-{space.fingerprint}-{space.resolution}-{space.lowering}"


def _surroundings(spaces: Sequence[SearchSpace], device: MeasuringDevice) -> Surroundings:
    if isinstance(device, Interleaving):
        return interleaved()
    largest = [space.describe(space.largest()) for space in spaces]
    return streaming(max(map(working_set, largest)), device.cache_bytes)


def _measure(
    table: Table,
    spaces: Sequence[SearchSpace],
    device: MeasuringDevice,
    around: Surroundings,
    path: Path,
    on_progress: ProgressCallback | None,
) -> None:
    needed = reachable(spaces)
    todo: list[Entry] = []
    for family, members in needed.items():
        # plan with what is known, so that grids of several spaces join
        known = set(table.families.get(family, {}))
        chosen, periods = plan(family, members | known)
        table.set_periods(family, periods)
        todo += [(family, widths) for widths in sorted(chosen - known)]
    references = References(spaces[0], needed) if around.behind and todo else None
    measure_entries(table, todo, device, around, references, path=path, on_progress=on_progress)
