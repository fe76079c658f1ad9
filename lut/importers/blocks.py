"""Tables whose entries are blocks: nn-Meter's, ProxylessNAS' and Once-for-All's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lut.cost import DeviceInfo
from lut.files import write_text
from lut.fit.measurements import BLOCK_TABLE, Measured, read_measurements
from search_spaces import UserError

BLOCK_TABLE_SCHEMA = 1


@dataclass(frozen=True)
class BlockTable:
    """Latencies of whole blocks, each with the operations it is made of.

    It is no `CostModel`: a block's latency says nothing about its operations one by one.
    """

    device: DeviceInfo
    source: str
    blocks: Sequence[Measured]
    unit: str = "ms"

    def to_dict(self) -> dict[str, Any]:
        """The table as plain JSON types (schema 1); operations follow from the keys."""
        return {
            "schema": BLOCK_TABLE_SCHEMA,
            "kind": BLOCK_TABLE,
            "device": asdict(self.device),
            "unit": self.unit,
            "source": self.source,
            "blocks": {block.name: block.latency for block in self.blocks},
        }

    def save(self, path: Path) -> None:
        """Write the file atomically; `read_measurements` and `load` read it."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> BlockTable:
        """Read a file written by `save`.

        Raises:
            UserError: not such a file, or an unknown schema version.
        """
        blocks = read_measurements(path)
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("kind") != BLOCK_TABLE or data.get("schema") != BLOCK_TABLE_SCHEMA:
            raise UserError(
                f"{path} is not a stored table of blocks of schema {BLOCK_TABLE_SCHEMA}; "
                "read it with `nas lut import`"
            )
        try:
            return cls(DeviceInfo(**data["device"]), str(data["source"]), blocks, data["unit"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} is not a whole table of blocks: {error!r}") from None


def import_nn_meter(path: Path, device: DeviceInfo) -> BlockTable:
    """Read nn-Meter's block table: JSON, key → ms.

    Raises:
        UserError: another kind of file, an unknown key, a latency that is none.
    """
    return _imported(path, device, ("firstconv_", "conv_", "transds_"), "nn-meter")


def import_once_for_all(path: Path, device: DeviceInfo) -> BlockTable:
    """Read a table of ProxylessNAS or Once-for-All: YAML, key → {count, mean, var} in ms.

    Raises:
        UserError: another kind of file, an unknown key, a latency that is none.
    """
    starts = ("Conv", "expanded_conv-", "AvgPool2D-", "Logits-")
    return _imported(path, device, starts, "once-for-all")


def _imported(path: Path, device: DeviceInfo, starts: tuple[str, ...], form: str) -> BlockTable:
    blocks = read_measurements(path)
    for block in blocks:
        if not block.name.startswith(starts):
            raise UserError(f"{path} is not a table of format {form}: {block.name!r}")
    return BlockTable(device, f"imported from {path.name} ({form})", blocks)
