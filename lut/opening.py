"""Cost models by what the user calls them: a table file, a fitted device, a measured device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lut.cost import CostModel, Precision
from search_spaces import Operation, SearchSpace, UserError, unknown


def open_cost_model(
    device: str | None,
    table: Path | None = None,
    precision: Precision | None = None,
    *,
    space: SearchSpace | None = None,
    operations: Sequence[Operation] = (),
) -> CostModel:
    """The costs of a device or of a table file.

    Args:
        device: a fitted device by name, or a measured device whose table is in the cache
            (``host``, a phone); beside ``table`` the device that the file must be of.
        table: a table file, or a fitted model's file (``nas lut fit --out``).
        precision: of the networks that are priced; None for float32 on a measured device, else
            for whatever the file or the fitted device is of.
        space: what is to be priced; of several cached tables the one that was built for it is
            opened.
        operations: what is to be priced; where no table was built for the space, the largest of
            those that cover them all is opened, else the largest.

    Raises:
        UserError: unknown device, no such table, a file that is none, or one of another device or
            precision.
    """
    from lut.fit import RECIPES, fitted_names, load_fitted

    if table is not None:
        model = _read(table)
        if device is not None and device != model.device.name:
            raise UserError(
                f"--device {device}: the file {table} is of {model.device.name}; leave one out"
            )
        return _of_precision(model, precision, str(table))
    if device is None:
        raise UserError("name a device (--device) or a table (--table)")
    if device in fitted_names():
        return _of_precision(load_fitted(device), precision, device)
    wanted = precision or "float32"
    found = _cached(device, wanted, space, operations)
    if found is not None:
        return found
    if device == "host":
        raise UserError(
            f"there is no {wanted} table of this machine yet; measure one with "
            f"`nas lut build EXPERIMENT --device host{_option(wanted)}`"
        )
    if device in RECIPES:
        raise UserError(
            f"device {device} has no coefficients yet: nas lut fit {device} MEASUREMENTS --out "
            f"lut/fit/coefficients/{device}.json"
        )
    raise unknown("device", device, [*fitted_names(), "host"])


def _option(precision: Precision) -> str:
    return "" if precision == "float32" else f" --precision {precision}"


def _of_precision(model: CostModel, wanted: Precision | None, name: str) -> CostModel:
    """The model, unless it prices networks of another precision."""
    from lut.fit import fitted_names

    own = model.device.precision
    if wanted is None or wanted == own:
        return model
    siblings = [f"{name}-{wanted}", name.removesuffix(f"-{own}")]
    other = next((n for n in siblings if n != name and n in fitted_names()), None)
    advice = f"name {other}" if other else f"use --precision {own} or another device"
    raise UserError(f"{name} prices {own} networks, not {wanted}: {advice}")


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
