"""Costs of operations, read off the times of files that hold them."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lut.devices.base import (
    Interleaving,
    Measurement,
    MeasuringDevice,
    Progress,
    ProgressCallback,
)
from lut.probes import Surroundings, base, probe
from lut.references import References
from lut.signature import Family, Widths, operation_of
from lut.table import Table
from lut.tflite import quantize
from search_spaces.operation import Shape

Entry = tuple[Family, Widths]

EMPTY = 7
"""How often the file with nothing in it is measured, spread over the build."""

SAVE_EVERY = 50
"""Entries after which the table is stored, so that a lost device loses little."""


def measure_entries(
    table: Table,
    todo: Sequence[Entry],
    device: MeasuringDevice,
    around: Surroundings,
    references: References | None,
    *,
    path: Path | None = None,
    on_progress: ProgressCallback | None = None,
) -> None:
    """Measure operations and enter them into a table, stored at ``path`` as it grows.

    Args:
        table: gets the entries; its precision is that of the files.
        todo: what to measure.
        device: where; an `Interleaving` one if there are references.
        around: what the files imitate.
        references: the networks to be behind, None where operations are timed by themselves.
        path: where the table is stored.
        on_progress: files done and left.

    Raises:
        UserError: the device is lost; what was measured is entered.
    """
    parts: dict[float | None, list[Entry]] = defaultdict(list)
    for entry in todo:
        parts[None if references is None else references.share(*entry)].append(entry)
    groups = {share: _Group(table, entries, around) for share, entries in parts.items()}
    total, done = sum(len(group.files) for group in groups.values()), 0
    unsaved = 0

    def entered(count: int) -> None:
        nonlocal unsaved
        unsaved += count
        if path is not None and unsaved >= SAVE_EVERY:
            table.save(path)
            unsaved = 0

    try:
        for share, group in groups.items():
            where = device
            if references is not None and share is not None:
                assert isinstance(device, Interleaving)
                where = device.behind(_in_precision(references.network(share), table))
            where.measure(
                group.files,
                on_result=lambda name, measured, group=group: entered(group.keep(name, measured)),  # type: ignore[misc]
                on_progress=on_progress and partial(_of_all, on_progress, done, total),
            )
            done += len(group.files)
    finally:
        if path is not None and len(table):
            table.save(path)


def _of_all(report: ProgressCallback, before: int, total: int, now: Progress) -> None:
    """One group's progress as a part of all groups'."""
    left = now.seconds_left
    if left is not None and now.total > now.done:
        left *= (total - before - now.done) / (now.total - now.done)
    report(replace(now, done=before + now.done, total=total, seconds_left=left))


def _in_precision(content: bytes, table: Table) -> bytes:
    return quantize(content, None) if table.device.precision == "int8" else content


class _Group:
    """Entries that are measured behind the same network: their files, and the results."""

    def __init__(self, table: Table, entries: Sequence[Entry], around: Surroundings) -> None:
        self.table = table
        self.copies = around.copies
        self.loads = around.loads
        self.entries = {f"p{i}": entry for i, entry in enumerate(entries)}
        self.operations = {name: operation_of(*e) for name, e in self.entries.items()}
        self.measured: dict[str, list[Measurement]] = defaultdict(list)
        self.empty: list[float] = []
        self.needed_by: dict[str, list[str]] = defaultdict(list)
        makers: dict[str, Callable[[], bytes]] = {}
        for name, operation in self.operations.items():
            makers[name] = partial(probe, operation, around)
            self.needed_by[name].append(name)
            for shape in set(operation.input_shapes):
                makers[_base_name(shape)] = partial(base, (shape,), around)
                self.needed_by[_base_name(shape)].append(name)
        # neighbours of all sizes, so that a slow moment of the machine meets no family alone
        order = sorted(f"{name}.{load}" for name in makers for load in range(self.loads))
        random.Random(0).shuffle(order)
        for i in range(EMPTY):
            order.insert(i * len(order) // EMPTY, f"{_EMPTY}.{i}")
        makers[_EMPTY] = partial(base, (), around)
        self.files = _Files(order, makers, table)

    def keep(self, file: str, measured: Measurement) -> int:
        """Take a file's result; returns how many entries it completed."""
        name = file.rpartition(".")[0]
        if name == _EMPTY:
            self.empty.append(measured.median)
            return 0
        self.measured[name].append(measured)
        if len(self.measured[name]) < self.loads:
            return 0
        ready = [entry for entry in self.needed_by[name] if self._complete(entry)]
        for entry in ready:
            self._enter(entry)
        return len(ready)

    def _complete(self, name: str) -> bool:
        shapes = self.operations[name].input_shapes
        parts = [name, *(_base_name(shape) for shape in shapes)]
        return all(len(self.measured[part]) == self.loads for part in parts)

    def _median(self, name: str) -> float:
        return statistics.median(measured.median for measured in self.measured[name])

    def _enter(self, name: str) -> None:
        floor = statistics.median(self.empty)
        own = self._median(name) - floor
        for shape in self.operations[name].input_shapes:
            own -= self._median(_base_name(shape)) - floor
        spread = statistics.median(measured.spread for measured in self.measured[name])
        family, widths = self.entries[name]
        self.table.add_entry(family, widths, max(own, 0.0) / self.copies, spread / self.copies)


_EMPTY = "empty"


class _Files(Mapping[str, bytes]):
    """Files that are built when they are asked for."""

    def __init__(
        self, order: Sequence[str], makers: Mapping[str, Callable[[], bytes]], table: Table
    ) -> None:
        self.order = order
        self.makers = makers
        self.table = table

    def __getitem__(self, name: str) -> bytes:
        return _in_precision(self.makers[name.rpartition(".")[0]](), self.table)

    def __iter__(self) -> Iterator[str]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


def _base_name(shape: Shape) -> str:
    return "b" + "x".join(map(str, shape))
