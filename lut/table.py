"""A table of measured or imported costs: schema, storage and look-up."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from lut.cost import DeviceInfo, Precision, Provenance, UncoveredError
from lut.files import write_text
from lut.interpolation import Interpolator
from lut.signature import Family, Widths, signature
from search_spaces import Operation, UserError

TABLE_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """One entry: a cost and the spread of its measurement, both in the table's unit."""

    value: float
    spread: float = 0.0


@dataclass
class Table:
    """Costs of operations on one device; a `CostModel`.

    Args:
        device: what the costs belong to, the precision included.
        source: who or what made the table, in a line.
        date: ISO 8601.
        resource: ``latency`` first; ``energy`` or ``memory`` fit as well.
        unit: ``ms`` for latency.
        conditions: how it was measured, as far as it decides what may be compared; two tables
            with unequal conditions do not mix.
        notes: anything else about the table; not part of its identity.
        free: types of operations that cost nothing by the convention of the tool that the table
            comes from; empty for every table that this project measures.
    """

    device: DeviceInfo
    source: str
    date: str = ""
    resource: str = "latency"
    unit: str = "ms"
    conditions: Mapping[str, Any] = field(default_factory=dict)
    families: dict[Family, dict[Widths, Cost]] = field(default_factory=dict)
    periods: dict[Family, tuple[int, ...]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    free: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.date = self.date or datetime.now(UTC).isoformat(timespec="seconds")
        self._ready: dict[Family, Interpolator] = {}

    def __len__(self) -> int:
        """The number of entries."""
        return sum(len(points) for points in self.families.values())

    @property
    def unsteadiness(self) -> float:
        """Half the interquartile range of the timings over the costs, both summed over all entries.

        0.08 to 0.3 on a machine whose cores are shared and change their speed.
        """
        costs = [cost for points in self.families.values() for cost in points.values()]
        return sum(c.spread for c in costs) / (sum(c.value for c in costs) or 1.0)

    # building ----------------------------------------------------------------------------------

    def add(self, operation: Operation, value: float, spread: float = 0.0) -> None:
        """Enter the cost of one operation, or replace it.

        Raises:
            UserError: the cost is negative or not a number.
        """
        self.add_entry(*signature(operation), value, spread)

    def add_entry(self, family: Family, widths: Widths, value: float, spread: float = 0.0) -> None:
        """Enter a cost by family and widths. Raises as `add`."""
        if not (math.isfinite(value) and value >= 0 and math.isfinite(spread) and spread >= 0):
            raise UserError(f"{family}, widths {list(widths)}: {value} is not a {self.resource}")
        self.families.setdefault(family, {})[widths] = Cost(value, spread)
        self._ready.pop(family, None)

    def set_periods(self, family: Family, periods: tuple[int, ...]) -> None:
        """The periods of every width of a family, see `lut.interpolation.Axis`."""
        self.periods[family] = periods
        self._ready.pop(family, None)

    def merge(self, other: Table) -> None:
        """Take over the entries of another table of the same device.

        Raises:
            UserError: device, runtime, precision, provenance, unit or conditions differ.
        """
        for name in ("device", "resource", "unit", "conditions", "free"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                if name == "device":
                    a, b = asdict(mine), asdict(theirs)
                    name, mine, theirs = next((k, a[k], b[k]) for k in a if a[k] != b[k])
                raise UserError(
                    f"tables cannot be mixed: {name} is {mine!r} in one and {theirs!r} in the other"
                )
        for family, points in other.families.items():
            self.families.setdefault(family, {}).update(points)
            self._ready.pop(family, None)
        self.periods.update(other.periods)

    # look-up -----------------------------------------------------------------------------------

    def cost(self, operation: Operation) -> float:
        """The cost of an operation in ``unit``: the entry, or interpolated between entries.

        Raises:
            UncoveredError: the table holds no such operation, or not around its widths.
        """
        if operation.type in self.free:
            return 0.0
        family, widths = signature(operation)
        if not self.families.get(family):
            raise UncoveredError(
                f"the {self.device.name} table has no {family} (operation {operation.name!r}); "
                "build the table for this space"
            )
        value = self.interpolator(family)(widths)
        if value is None:
            raise UncoveredError(
                f"the {self.device.name} table has {family}, but nothing around the widths "
                f"{list(widths)} of {operation.name!r}; build the table for this space"
            )
        return value

    def covers(self, operation: Operation) -> bool:
        """True where `cost` has an answer."""
        try:
            self.cost(operation)
        except UncoveredError:
            return False
        return True

    def interpolator(self, family: Family) -> Interpolator:
        """What a known family's costs between the entries follow from."""
        ready = self._ready.get(family)
        if ready is None:
            points = {widths: cost.value for widths, cost in self.families[family].items()}
            ones = (1,) * len(next(iter(points)))
            ready = self._ready[family] = Interpolator(points, self.periods.get(family, ones))
        return ready

    # storage -----------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """A hash of the content, its source, date and notes left out."""
        data = self.to_dict()
        del data["source"], data["date"], data["notes"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The table as plain JSON types (schema 1)."""
        families = []
        for family in sorted(self.families, key=repr):
            record: dict[str, Any] = {"family": family.to_dict()}
            if family in self.periods:
                record["periods"] = list(self.periods[family])
            record["entries"] = [
                [list(widths), cost.value, cost.spread]
                for widths, cost in sorted(self.families[family].items())
            ]
            families.append(record)
        free = {"free": sorted(self.free)} if self.free else {}
        return {
            "schema": TABLE_SCHEMA,
            "kind": "cost-table",
            "device": asdict(self.device),
            "resource": self.resource,
            "unit": self.unit,
            "source": self.source,
            "date": self.date,
            "conditions": dict(self.conditions),
            "notes": dict(self.notes),
            **free,
            "families": families,
        }

    @classmethod
    def from_dict(cls, data: Any, origin: str = "table") -> Table:
        """The inverse of `to_dict`; ``origin`` names the file in errors.

        Raises:
            UserError: not a table, an unknown schema version, or a malformed entry.
        """
        if not isinstance(data, Mapping) or data.get("kind") != "cost-table":
            raise UserError(f"{origin} is not a table of costs; build one with `nas lut build`")
        if data.get("schema") != TABLE_SCHEMA:
            raise UserError(
                f"{origin} has table schema {data.get('schema')!r}; this version reads "
                f"{TABLE_SCHEMA}"
            )
        try:
            device = DeviceInfo(**data["device"])
            if device.provenance not in get_args(Provenance):
                raise ValueError(f"provenance {device.provenance!r}")
            if device.precision not in get_args(Precision):
                raise ValueError(f"precision {device.precision!r}")
            table = cls(
                device=device,
                source=data["source"],
                date=data["date"],
                resource=data["resource"],
                unit=data["unit"],
                conditions=dict(data.get("conditions", {})),
                notes=dict(data.get("notes", {})),
                free=frozenset(map(str, data.get("free", ()))),
            )
            for record in data["families"]:
                family = Family.from_dict(record["family"])
                rank = None
                for widths, value, spread in record["entries"]:
                    if rank is not None and len(widths) != rank:
                        raise ValueError(f"widths of unequal number in {family}")
                    rank = len(widths)
                    table.add_entry(
                        family, tuple(int(w) for w in widths), float(value), float(spread)
                    )
                if "periods" in record:
                    table.set_periods(family, tuple(int(t) for t in record["periods"]))
            return table
        except UserError as error:
            raise UserError(f"{origin}: {error}") from None
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise UserError(f"{origin} is not a whole table: {error!r}") from None

    def save(self, path: Path) -> None:
        """Write the file atomically: a reader sees the old content or the new."""
        write_text(path, json.dumps(self.to_dict(), separators=(",", ":")))

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read a JSON (or YAML) file.

        Raises:
            UserError: no such file, truncated, or not a table.
        """
        return cls.from_dict(read_data(path), str(path))


def read_data(path: Path) -> Any:
    """What a JSON (or YAML) file holds that should be a table.

    Raises:
        UserError: no such file, or truncated.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UserError(f"cannot read the table {path}: {reason}") from None
    try:
        if path.suffix in {".yaml", ".yml"}:
            import yaml

            return yaml.safe_load(text)
        return json.loads(text)
    except Exception as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path} is truncated or not a table: {line}") from None


def merged(tables: Iterable[Table]) -> Table:
    """One table with the entries of several; later ones win.

    Raises:
        UserError: they may not be mixed, or there is none.
    """
    tables = list(tables)
    if not tables:
        raise UserError("no table to merge")
    result = Table.from_dict(tables[0].to_dict())
    for table in tables[1:]:
        result.merge(table)
    return result
