"""A search space: a graph of nodes and the choices they read; architectures and descriptions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Protocol

from search_spaces.architecture import Architecture
from search_spaces.choices import Choice, Unit, Values
from search_spaces.errors import UserError, unknown
from search_spaces.network import Network
from search_spaces.nodes import Lowering, Node, Tensor, prefix
from search_spaces.operation import Operation, Range, Shape

GRAPH_SCHEMA = 1

INPUT = "input"
"""The name of the network's input tensor."""


class RandomSource(Protocol):
    """What drawing needs: ``random.Random`` has it."""

    def randrange(self, stop: int, /) -> int:
        """A whole number from 0 to stop − 1."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


@dataclass(frozen=True)
class SearchSpace:
    """Every network that the graph describes as its choices vary.

    ``settings`` are the keyword arguments that rebuild the space from its registered name.
    """

    name: str
    settings: Mapping[str, Any]
    nodes: tuple[Node, ...]
    choices: Mapping[str, Choice]
    units: tuple[Unit, ...]
    outputs: tuple[str, ...]
    input_channels: int
    resolution: int
    classes: int
    lowering: Lowering = "concat"
    embedded: bool = field(default=False)
    """True where the space cannot be found by name, so that architectures carry the graph."""
    whole: SearchSpace | None = None
    """The space that this one is a part of (`limits.limited`): its choices have further values."""

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that gives choices their meaning; a part has the whole's."""
        if self.whole is not None:
            return self.whole.fingerprint
        graph: list[Any] = [[type(node).__name__, _fields(node)] for node in self.nodes] + [
            [c.name, c.kind, list(c.values), c.requires] for c in self.choices.values()
        ]
        content = [graph, self.outputs, self.input_channels]
        text = json.dumps(content, sort_keys=True, default=_fields)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _graph(self) -> dict[str, Any]:
        return self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """The whole space as plain JSON types; `storage.graph_from_dict` reads it."""
        if self.whole is not None:
            return self.whole.to_dict()
        graph: dict[str, Any] = {
            "schema": GRAPH_SCHEMA,
            "name": self.name,
            "nodes": [{"node": type(node).__name__, **_non_default(node)} for node in self.nodes],
            "choices": [asdict(choice) for choice in self.choices.values()],
            "units": [asdict(unit) for unit in self.units],
            "outputs": list(self.outputs),
            "input_channels": self.input_channels,
            "resolution": self.resolution,
            "classes": self.classes,
            "lowering": self.lowering,
        }
        # tuples become lists, so that a graph equals the one read from its file
        plain: dict[str, Any] = json.loads(json.dumps(graph))
        return plain

    @property
    def input_shape(self) -> Shape:
        """(channels, height, width) of one input image."""
        return (self.input_channels, self.resolution, self.resolution)

    def at(self, resolution: int) -> SearchSpace:
        """The same space for images of another height and width in pixels."""
        settings = dict(self.settings)
        if "resolution" in settings:
            settings["resolution"] = resolution
        whole = None if self.whole is None else self.whole.at(resolution)
        return replace(self, resolution=resolution, settings=settings, whole=whole)

    def largest_value(self, name: str) -> int:
        """The value of a choice in the largest network."""
        return self.choices[name].largest

    def live(self, name: str, values: Values) -> bool:
        """False for a choice whose unit has no filters."""
        requires = self.choices[name].requires
        return requires is None or values[requires] > 0

    def canonical(self, values: Values) -> dict[str, int]:
        """The values with dead choices at their largest, in the space's order."""
        return {
            name: values[name] if self.live(name, values) else choice.largest
            for name, choice in self.choices.items()
        }

    def architecture(self, values: Values) -> Architecture:
        """The architecture with these values, made canonical.

        Raises:
            UserError: a choice is missing or unknown, or a value is not one of its values.
        """
        self._check_values(values)
        return Architecture(
            space=self.name,
            space_fingerprint=self.fingerprint,
            choices=self.canonical(values),
            resolution=self.resolution,
            classes=self.classes,
            settings=self.settings,
            graph=self._graph if self.embedded else None,
        )

    def largest(self) -> Architecture:
        """The network with every choice at its largest."""
        return self.architecture({c.name: c.largest for c in self.choices.values()})

    def smallest(self) -> Architecture:
        """The network with every choice at its smallest."""
        return self.architecture({c.name: c.values[0] for c in self.choices.values()})

    def random(self, source: RandomSource, *, low: float = 0.0) -> Architecture:
        """A uniform draw; ``low`` leaves out widths and expansions under that share of T."""
        values = {}
        for name, choice in self.choices.items():
            allowed = choice.values
            if choice.kind != "kernel":
                allowed = tuple(v for v in allowed if v >= low * choice.largest)
            values[name] = allowed[source.randrange(len(allowed))]
        return self.architecture(values)

    def scaled(
        self, share: float, *, kernel: Literal["largest", "smallest"] = "largest"
    ) -> Architecture:
        """Every width and expansion at the value nearest to ``share`` of its largest, at least
        the smallest above 0; every kernel at its ``kernel``. The field's width multiplier where
        the space has no bypass connections, which would keep the channels that go.
        """
        values = {}
        for name, choice in self.choices.items():
            allowed = [v for v in choice.values if v > 0]
            target = share * choice.largest
            values[name] = (
                (choice.largest if kernel == "largest" else choice.values[0])
                if choice.kind == "kernel"
                else min(allowed, key=lambda v: (abs(v - target), v))
            )
        return self.architecture(values)

    def describe(self, values: Architecture | Values) -> Network:
        """Resolve an architecture to its network description.

        Raises:
            UserError: see `check`.
        """
        if isinstance(values, Architecture):
            self.check(values)
        operations, tensors = self._resolve(self.canonical(values))
        outputs = []
        for name in self.outputs:
            out = tensors[name]
            assert out is not None, f"output {name} was removed"
            outputs.append(out.name)
        kept: dict[str, tuple[Range, ...]] = {
            tensor.name: tensor.kept
            for tensor in tensors.values()
            if tensor is not None and tensor.kept != prefix(tensor.channels)
        }
        return Network(
            name=self.name,
            input_shape=self.input_shape,
            operations=used(operations, outputs),
            outputs=tuple(outputs),
            kept=kept,
        )

    @cached_property
    def largest_shapes(self) -> Mapping[str, Shape]:
        """The output shape of every node in the largest network."""
        values = {c.name: c.largest for c in self.choices.values()}
        tensors = self._resolve(values)[1]
        return {name: tensor.shape for name, tensor in tensors.items() if tensor is not None}

    def _resolve(self, values: Values) -> tuple[list[Operation], dict[str, Tensor | None]]:
        tensors: dict[str, Tensor | None] = {
            INPUT: Tensor(INPUT, self.input_shape, prefix(self.input_channels))
        }
        operations: list[Operation] = []
        for node in self.nodes:
            inputs = [tensors[name] for name in node.inputs]
            lowered, tensors[node.name] = node.lower(inputs, values, self.lowering)
            operations += lowered
        return operations, tensors

    def check(self, architecture: Architecture) -> None:
        """Refuse an architecture of another space, or one that this space does not hold.

        Raises:
            UserError: fingerprint or resolution differ, or a choice is missing, unknown or has
                a value that is not one of its values.
        """
        if architecture.space_fingerprint != self.fingerprint:
            raise UserError(
                f"the architecture belongs to space {architecture.space!r} "
                f"({architecture.space_fingerprint}), not to {self.name!r} ({self.fingerprint})"
            )
        if architecture.resolution != self.resolution:
            raise UserError(
                f"the architecture is for {architecture.resolution} px, "
                f"the space for {self.resolution} px"
            )
        self._check_values(architecture)

    def _check_values(self, values: Values) -> None:
        if self.whole is not None:
            # architectures of the whole are none of another space
            self.whole._check_values(values)
            return
        for name in values:
            if name not in self.choices:
                raise unknown(f"choice of space {self.name}", name, self.choices)
        for name, choice in self.choices.items():
            if name not in values:
                raise UserError(f"architecture lacks the choice {name!r} of space {self.name}")
            if values[name] not in choice.values:
                raise UserError(
                    f"{name} = {values[name]} is not a value of space {self.name}; "
                    f"it takes {_brief(choice.values)}"
                )


def used(operations: list[Operation], outputs: list[str]) -> tuple[Operation, ...]:
    """The operations that the outputs depend on, in order."""
    needed = set(outputs)
    kept = []
    for operation in reversed(operations):
        if operation.name in needed:
            kept.append(operation)
            needed.update(operation.inputs)
    return tuple(reversed(kept))


def _brief(values: tuple[int, ...]) -> str:
    shown = values if len(values) <= 6 else (*values[:3], "…", *values[-2:])
    return ", ".join(str(v) for v in shown)


LATER = frozenset({"dilation"})
"""Fields that nodes gained: at their default they are left out, so that fingerprints stay."""


def _fields(node: Any) -> dict[str, Any]:
    # a shallow `asdict`, which copies nothing: a scaled space is hashed hundreds of times
    return {
        field.name: getattr(node, field.name)
        for field in fields(node)
        if field.name not in LATER or getattr(node, field.name) != field.default
    }


def _non_default(node: Node) -> dict[str, Any]:
    data = asdict(node)
    return {f.name: data[f.name] for f in fields(node) if data[f.name] != f.default}
