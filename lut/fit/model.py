"""A fitted device model: coefficients on features, with where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite, prod
from pathlib import Path
from typing import Any

from lut.cost import DeviceInfo, UncoveredError
from lut.files import write_text
from lut.fit.processor import Processor, amounts, read_processor, stored
from lut.table import Table
from search_spaces import Operation, UserError

MODEL_SCHEMA = 1

Range = tuple[int, int]


@dataclass(frozen=True)
class Coverage:
    """What was measured of one kind of operation: least and most output pixels and channels."""

    pixels: Range
    inputs: Range
    outputs: Range


def kind_of(operation: Operation) -> str:
    """What `Coverage` tells apart: the type, and the kernel and stride of a convolution."""
    if operation.type == "linear" or (operation.type == "conv" and prod(operation.kernel) == 1):
        return "conv 1x1"
    if operation.type == "conv":
        form = "depthwise" if operation.depthwise else "conv"
        form = "grouped conv" if operation.groups > 1 and not operation.depthwise else form
        kernel = "x".join(str(k) for k in operation.kernel)
        return f"{form} {kernel} stride {max(operation.stride)}"
    return operation.type


def coverage(operations: Iterable[Operation]) -> dict[str, Coverage]:
    """What a set of measured operations covers, by kind."""
    seen: dict[str, list[tuple[int, int, int]]] = {}
    for operation in operations:
        out = operation.output_shape
        sizes = (out[1] * out[2], operation.input_shapes[0][0], out[0])
        seen.setdefault(kind_of(operation), []).append(sizes)
    return {
        kind: Coverage(*((min(column), max(column)) for column in zip(*rows, strict=True)))
        for kind, rows in sorted(seen.items())
    }


@dataclass(frozen=True)
class FittedModel:
    """A `CostModel` that multiplies an operation's features by fitted coefficients.

    ``coefficients`` are milliseconds per unit of each feature. ``provenance`` is plain JSON: which
    measurements, how many, the held-out errors, and what is extrapolated.
    """

    device: DeviceInfo
    core: Processor
    coefficients: Mapping[str, float]
    coverage: Mapping[str, Coverage]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    resource: str = "latency"
    unit: str = "ms"

    def cost(self, operation: Operation) -> float:
        """Milliseconds of one operation.

        Raises:
            UncoveredError: it has a feature that no measurement of this device had.
        """
        return sum(self.parts(operation).values())

    def parts(self, operation: Operation) -> dict[str, float]:
        """Milliseconds of one operation by feature. Raises as `cost`."""
        result = {}
        for name, amount in amounts(operation, self.core).items():
            if name not in self.coefficients:
                raise UncoveredError(
                    f"{self.device.name} was fitted to no operation like {operation.name!r} "
                    f"({kind_of(operation)}, feature {name!r})"
                )
            result[name] = amount * self.coefficients[name]
        return result

    def extrapolates(self, operation: Operation) -> str | None:
        """Why the cost of an operation is not backed by measurements; None where it is."""
        kind = kind_of(operation)
        known = self.coverage.get(kind)
        if known is None:
            return f"no {kind} was measured"
        out = operation.output_shape
        for what, value, (low, high) in (
            ("output pixels", out[1] * out[2], known.pixels),
            ("input channels", operation.input_shapes[0][0], known.inputs),
            ("output channels", out[0], known.outputs),
        ):
            if not low <= value <= high:
                return f"{kind} was measured with {low} to {high} {what}, this has {value}"
        return None

    def table(self, operations: Iterable[Operation]) -> Table:
        """A table of provenance ``fitted`` with these operations.

        Raises:
            UncoveredError: see `cost`.
        """
        table = Table(self.device, source=f"fitted model {self.identity}")
        for operation in operations:
            table.add(operation, self.cost(operation))
        return table

    @property
    def identity(self) -> str:
        """A hash of what decides costs."""
        data = self.to_dict()
        del data["provenance"], data["coverage"]
        data["device"] = self.device.name
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    # storage -----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The model as plain JSON types (schema 1)."""
        return {
            "schema": MODEL_SCHEMA,
            "kind": "fitted-model",
            "device": asdict(self.device),
            "resource": self.resource,
            "unit": self.unit,
            "core": stored(self.core),
            "coefficients": {k: float(f"{v:.6g}") for k, v in sorted(self.coefficients.items())},
            "coverage": {
                k: {n: list(r) for n, r in asdict(c).items()} for k, c in self.coverage.items()
            },
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, data: Any, origin: str = "fitted model") -> FittedModel:
        """The inverse of `to_dict`; ``origin`` names the file in errors.

        Raises:
            UserError: not a fitted model, an unknown schema version, or malformed.
        """
        if not isinstance(data, Mapping) or data.get("kind") != "fitted-model":
            raise UserError(f"{origin} is not a fitted model; make one with `nas lut fit`")
        if data.get("schema") != MODEL_SCHEMA:
            raise UserError(
                f"{origin} has schema {data.get('schema')!r}; this version reads {MODEL_SCHEMA}"
            )
        try:
            coefficients = {str(k): float(v) for k, v in data["coefficients"].items()}
            if not all(isfinite(v) and v >= 0 for v in coefficients.values()):
                raise ValueError("a coefficient is negative or not a number")
            device = DeviceInfo(**data["device"])
            if device.provenance != "fitted":
                raise ValueError(f"provenance {device.provenance!r}")
            return cls(
                device=device,
                core=read_processor(data["core"]),
                coefficients=coefficients,
                coverage={
                    kind: Coverage(
                        *((int(c[n][0]), int(c[n][1])) for n in ("pixels", "inputs", "outputs"))
                    )
                    for kind, c in data["coverage"].items()
                },
                provenance=data["provenance"],
                resource=str(data["resource"]),
                unit=str(data["unit"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise UserError(f"{origin} is not a whole fitted model: {error!r}") from None

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> FittedModel:
        """Read a file written by `save`.

        Raises:
            UserError: no such file, or not a fitted model.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"cannot read the fitted model {path}: {error.strerror}") from None
        except ValueError:
            raise UserError(f"{path} is truncated or not a fitted model") from None
        return cls.from_dict(data, str(path))
