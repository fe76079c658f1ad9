"""Building a table: which files a space needs, their measurement, and the costs read off them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lut.cache import covered_spaces, open_cached, table_path
from lut.cost import Precision
from lut.coverage import Reachable, plan, reachable
from lut.devices.base import Measurement, MeasuringDevice, ProgressCallback
from lut.probes import Surroundings, base, probe, surroundings
from lut.signature import Family, Widths, operation_of
from lut.table import Table
from lut.tflite import quantize
from search_spaces import Network, SearchSpace
from search_spaces.operation import Shape

METHOD = 1
"""The version of probes and writer; costs measured by another one do not mix."""

EMPTY = 7
"""How often the file with nothing in it is measured, spread over the build."""

SAVE_EVERY = 50
"""Entries after which the table is stored, so that a lost device loses little."""


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
        spaces: whose operations must be covered; their networks must be of one kind, either
            larger than the core's private cache or not.
        device: what measures.
        precision: of the files.
        folder: the cache; default `lut.cache.cache_folder`.
        fresh: measure all over again.
        on_progress: files done and left, with the time left.

    Raises:
        UserError: the device is lost or cannot be used; what was measured is kept.
    """
    around = surroundings(
        max(working_set(space.describe(space.largest())) for space in spaces), device.cache_bytes
    )
    path = table_path(device.info(precision), around, folder)
    table = open_cached(path, device.info(precision), around, fresh=fresh)
    if all(space_key(space) in covered_spaces(table) for space in spaces):
        return table
    _measure(table, reachable(spaces), device, around, path, on_progress)
    known = covered_spaces(table) | {space_key(space) for space in spaces}
    table.notes = {**table.notes, "spaces": sorted(known)}
    table.save(path)
    return table


def space_key(space: SearchSpace) -> str:
    """What decides which operations a space has."""
    return f"{space.name}-{space.fingerprint}-{space.resolution}-{space.lowering}"


class _Files(Mapping[str, bytes]):
    """Files that are built when they are asked for."""

    def __init__(self, makers: dict[str, Callable[[], bytes]], int8: bool) -> None:
        self.makers = makers
        self.int8 = int8

    def __getitem__(self, name: str) -> bytes:
        content = self.makers[name]()
        return quantize(content, None) if self.int8 else content

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


def _measure(
    table: Table,
    needed: Reachable,
    device: MeasuringDevice,
    around: Surroundings,
    path: Path,
    on_progress: ProgressCallback | None,
) -> None:
    todo: list[tuple[Family, Widths]] = []
    for family, members in needed.items():
        # plan with what is known, so that grids of several spaces join
        known = set(table.families.get(family, {}))
        chosen, periods = plan(family, members | known)
        table.set_periods(family, periods)
        todo += [(family, widths) for widths in sorted(chosen - known)]
    measure_entries(table, todo, device, around, path=path, on_progress=on_progress)


def measure_entries(
    table: Table,
    todo: Sequence[tuple[Family, Widths]],
    device: MeasuringDevice,
    around: Surroundings,
    *,
    path: Path | None = None,
    on_progress: ProgressCallback | None = None,
) -> None:
    """Measure operations and enter them into a table, stored at ``path`` as it grows.

    Raises:
        UserError: the device is lost; what was measured is entered.
    """
    if not todo:
        return
    operations = {key: operation_of(*key) for key in todo}
    shapes = sorted({s for operation in operations.values() for s in operation.input_shapes})
    makers: dict[str, Callable[[], bytes]] = {}
    int8 = table.device.precision == "int8"
    for shape in shapes:
        makers[_base_name(shape)] = lambda shape=shape: base((shape,), around)  # type: ignore[misc]
    names = {}
    for i, (key, operation) in enumerate(operations.items()):
        names[f"p{i}"] = key
        makers[f"p{i}"] = lambda operation=operation: probe(operation, around)  # type: ignore[misc]
    order = list(makers)
    for i in range(EMPTY):  # the first ones before everything else
        order.insert(i * len(order) // EMPTY, f"empty{i}")
        makers[f"empty{i}"] = lambda: base((), around)
    bases: dict[str, Measurement] = {}
    empty: list[float] = []
    unsaved = 0

    def keep(name: str, measured: Measurement) -> None:
        nonlocal unsaved
        if name.startswith("empty"):
            empty.append(measured.median)
        elif name not in names:
            bases[name] = measured
        else:
            family, widths = names[name]
            floor = statistics.median(empty)
            own = measured.median - floor
            for shape in operations[names[name]].input_shapes:
                own -= bases[_base_name(shape)].median - floor
            table.add_entry(
                family, widths, max(own, 0.0) / around.copies, measured.spread / around.copies
            )
            unsaved += 1
            if path is not None and unsaved >= SAVE_EVERY:
                table.save(path)
                unsaved = 0

    try:
        files = _Files({name: makers[name] for name in order}, int8)
        device.measure(files, on_result=keep, on_progress=on_progress)
    finally:
        if path is not None and len(table):
            table.save(path)


def _base_name(shape: Shape) -> str:
    return "b" + "x".join(map(str, shape))
