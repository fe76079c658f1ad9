"""Latency tables of other projects, read with their own meaning and nothing guessed."""

from collections.abc import Callable
from pathlib import Path

from lut.cost import DeviceInfo
from lut.importers.blocks import BlockTable, import_nn_meter, import_once_for_all
from lut.importers.netadapt import import_netadapt
from lut.table import Table
from search_spaces import unknown

IMPORTERS: dict[str, Callable[[Path, DeviceInfo], Table | BlockTable]] = {
    "netadapt": import_netadapt,
    "nn-meter": import_nn_meter,
    "once-for-all": import_once_for_all,
}
"""By the name of the format; ``once-for-all`` reads ProxylessNAS' tables too."""


def imported_device(name: str, description: str = "", runtime: str = "not recorded") -> DeviceInfo:
    """What an imported table belongs to, as far as the user knows it."""
    return DeviceInfo(
        name=name,
        description=description or name,
        cores="not recorded",
        threads=1,
        runtime=runtime,
        runtime_version="not recorded",
        precision="float32",
        provenance="imported",
    )


def import_table(form: str, path: Path, device: DeviceInfo) -> Table | BlockTable:
    """Read a table of another project.

    Args:
        form: one of `IMPORTERS`.
        path: the file.
        device: what its costs belong to, see `imported_device`.

    Returns:
        A `Table` where the file prices operations (NetAdapt's), else a `BlockTable`: blocks
        cannot be looked up, but `lut.fit` makes a cost model of them and they validate others.

    Raises:
        UserError: unknown format, or the file is not one, or holds a latency that is none.
    """
    if form not in IMPORTERS:
        raise unknown("format of table", form, IMPORTERS)
    return IMPORTERS[form](path, device)


__all__ = ["IMPORTERS", "BlockTable", "import_table", "imported_device"]
