"""The resolved description of one network: what every reader reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import UserError
from search_spaces.operation import Operation, Range, Shape

NETWORK_SCHEMA = 1


@dataclass(frozen=True)
class Network:
    """A network as a list of resolved operations in execution order.

    ``kept`` maps a tensor to the channels of the largest network's tensor that it holds;
    tensors that hold a plain prefix are left out. Extraction slices weights by it.
    """

    name: str
    input_shape: Shape
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]
    kept: Mapping[str, tuple[Range, ...]]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(operation.macs for operation in self.operations)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(operation.params for operation in self.operations)

    @property
    def resolution(self) -> int:
        """Height of the input in pixels."""
        return self.input_shape[1]

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """The shape of every output for one image."""
        shapes = {operation.name: operation.output_shape for operation in self.operations}
        return tuple(shapes[name] for name in self.outputs)

    def kept_channels(self, tensor: str, channels: int) -> tuple[Range, ...]:
        """The channels of the largest network that ``tensor`` holds, as ranges."""
        return self.kept.get(tensor, ((0, channels),))

    def to_dict(self) -> dict[str, Any]:
        """The description as plain JSON types."""
        return {
            "schema": NETWORK_SCHEMA,
            "name": self.name,
            "input_shape": list(self.input_shape),
            "operations": [operation.to_dict() for operation in self.operations],
            "outputs": list(self.outputs),
            "kept": {name: [list(r) for r in ranges] for name, ranges in self.kept.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Network:
        """The inverse of `to_dict`.

        Raises:
            UserError: unknown schema version or a missing field.
        """
        schema = data.get("schema") if isinstance(data, Mapping) else None
        if schema != NETWORK_SCHEMA:
            raise UserError(
                f"network description has schema {schema!r}, this version reads {NETWORK_SCHEMA}"
            )
        try:
            channels, height, width = data["input_shape"]
            return cls(
                name=str(data["name"]),
                input_shape=(channels, height, width),
                operations=tuple(Operation.from_dict(o) for o in data["operations"]),
                outputs=tuple(data["outputs"]),
                kept={
                    name: tuple((int(a), int(b)) for a, b in ranges)
                    for name, ranges in data.get("kept", {}).items()
                },
            )
        except UserError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"not a network description: {error!r}") from None
