"""Cost models by what the user calls them: a table file, a fitted device, a measured device."""

from __future__ import annotations

from pathlib import Path

from lut.cost import CostModel, Precision
from search_spaces import UserError, unknown


def open_cost_model(
    device: str | None, table: Path | None = None, precision: Precision = "float32"
) -> CostModel:
    """The costs of a device or of a table file.

    Args:
        device: a fitted device by name, or a measured device whose table is in the cache
            (``host``, a phone); ignored where ``table`` is given.
        table: a table file, or a fitted model's file.
        precision: of a measured device's table.

    Raises:
        UserError: unknown device, no such table, or a file that is none.
    """
    from lut.fit import fitted_names, load_fitted
    from lut.table import Table

    if table is not None:
        return Table.load(table)
    if device is None:
        raise UserError("name a device (--device) or a table (--table)")
    if device in fitted_names():
        return load_fitted(device)
    raise unknown("device", device, fitted_names())
