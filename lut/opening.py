"""Cost models by what the user calls them: a table file, a fitted device, a measured device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lut.cost import CostModel, Precision
from search_spaces import Operation, SearchSpace, UserError, unknown


def open_cost_model(
    device: str | None,
    table: Path | None = None,
    precision: Precision = "float32",
    *,
    space: SearchSpace | None = None,
    operations: Sequence[Operation] = (),
) -> CostModel:
    """The costs of a device or of a table file.

    Args:
        device: a fitted device by name, or a measured device whose table is in the cache
            (``host``, a phone); beside ``table`` the device that the file must be of.
        table: a table file, or a fitted model's file (``nas lut fit --out``).
        precision: of a measured device's table.
        space: what is to be priced; of several cached tables the one that was built for it is
            opened.
        operations: what is to be priced; where no table was built for the space, the largest of
            those that cover them all is opened, else the largest.

    Raises:
        UserError: unknown device, no such table, a file that is none, or one of another device.
    """
    from lut.fit import fitted_names, load_fitted

    if table is not None:
        model = _read(table)
        if device is not None and device != model.device.name:
            raise UserError(
                f"--device {device}: the file {table} is of {model.device.name}; leave one out"
            )
        return model
    if device is None:
        raise UserError("name a device (--device) or a table (--table)")
    if device in fitted_names():
        return load_fitted(device)
    found = _cached(device, precision, space, operations)
    if found is not None:
        return found
    if device == "host":
        raise UserError(
            f"there is no {precision} table of this machine yet; measure one with "
            "`nas lut build EXPERIMENT --device host`"
        )
    raise unknown("device", device, [*fitted_names(), "host"])


def _read(path: Path) -> CostModel:
    """A table's file or a fitted model's."""
    from lut.fit import FittedModel
    from lut.table import Table, read_data

    data = read_data(path)
    if isinstance(data, dict) and data.get("kind") == "fitted-model":
        return FittedModel.from_dict(data, str(path))
    return Table.from_dict(data, str(path))


def _cached(
    device: str,
    precision: Precision,
    space: SearchSpace | None,
    operations: Sequence[Operation],
) -> CostModel | None:
    """The cached table of a measured device; this machine's must be of its present runtime."""
    from lut.build import space_key
    from lut.cache import cached_tables, covered_spaces
    from lut.devices.host import HostDevice

    tables = [
        table
        for _, table in cached_tables()
        if table.device.name == device and table.device.precision == precision
    ]
    if device == "host":
        here = HostDevice().info(precision)
        tables = [table for table in tables if table.device == here]
    for table in tables:
        if space is not None and space_key(space) in covered_spaces(table):
            return table
    for table in tables:
        if all(table.covers(operation) for operation in operations):
            return table
    return tables[0] if tables else None
