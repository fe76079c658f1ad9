"""An exported graph → nodes of a space's graph, operation by operation.

Each ATen operation has a handler (`nas.tracing.handlers`). What the description has no word for
raises `UnsupportedError`; reading goes on, so that every such place is found before work starts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from nas.tracing.exported import Exported, place
from search_spaces.nodes import Node, prefix
from search_spaces.nodes import Tensor as Described
from search_spaces.operation import Shape
from search_spaces.space import INPUT


class UnsupportedError(Exception):
    """The reason why an operation cannot be described."""


class Value(NamedTuple):
    """A tensor of the description and what was done to it that no node holds yet.

    ``padding`` with ``filler`` goes to the next convolution or pooling; ``pending`` is the part
    of an activation written out by hand, ``relu6(x + 3) / 6`` or ``x · relu6(x + 3) / 6``.
    """

    name: str
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    filler: float = 0.0
    layout: str = "NCHW"
    """The order of the axes; L stands for all positions in a row, G for groups of channels."""
    groups: int = 1
    pending: Literal["", "x+3", "relu6(x+3)", "x*relu6(x+3)"] = ""


class Weight(NamedTuple):
    """A parameter or buffer: its name in the module and its data."""

    name: str
    tensor: Tensor


class Problem(NamedTuple):
    """What cannot be described, and where it stands in the model."""

    where: str
    reason: str


SKIPPED = frozenset(
    {"dropout", "feature_dropout", "alpha_dropout", "clone", "contiguous", "detach", "alias"}
    | {"lift_fresh_copy", "to", "_to_copy"}
)
"""Operations that do nothing in evaluation mode."""

REASONS = {
    "instance_norm": "instance normalisation has statistics of its own for every image",
    "conv_transpose2d": "transposed convolution; upsample and convolve instead",
    "scaled_dot_product_attention": "attention",
    "softmax": "softmax (attention, or a classifier's last step: leave it out of the model)",
    "_softmax": "softmax (attention, or a classifier's last step: leave it out of the model)",
    "matmul": "a product of two feature tensors (attention)",
    "bmm": "a product of two feature tensors (attention)",
    "pixel_shuffle": "pixel shuffle moves channels into positions",
    "pixel_unshuffle": "pixel unshuffle moves positions into channels",
    "conv1d": "one-dimensional convolution",
    "conv3d": "three-dimensional convolution",
    "leaky_relu": "activation LeakyReLU",
    "prelu": "activation PReLU",
    "mish": "activation Mish",
    "softplus": "activation Softplus",
}

REORDERED = "dimensions are reordered"

Handler = Callable[["Reader", torch.fx.Node, dict[str, Any]], None]

HANDLERS: dict[str, Handler] = {}
"""ATen operation → what reads it; `handles` fills it."""


AXES = frozenset({"permute", "transpose", "view", "reshape", "_unsafe_view", "contiguous", "clone"})
"""What may be done to channels that are taken apart into groups."""

ANY_LAYOUT: set[str] = set()
"""Operations that are read whatever the order of the axes; the others need channels first."""


def handles(*operations: str, any_layout: bool = False) -> Callable[[Handler], Handler]:
    """Register a function as what reads these ATen operations, in-place forms included."""

    def register(function: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(operations, function))
        if any_layout:
            ANY_LAYOUT.update(operations)
        return function

    return register


@dataclass
class Reader:
    """Reads an exported graph; afterwards ``nodes``, ``weights`` and ``outputs`` describe it.

    Widths are fixed at the largest network's; nothing is fused yet.
    """

    exported: Exported
    input_shape: Shape
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _values: dict[torch.fx.Node, Value | Weight | list[Value] | None] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _layout: str = "NCHW"

    def read(self) -> None:
        """Read every operation; what fails is in ``problems``."""
        self.shapes[INPUT] = self.input_shape
        for node in self.exported.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = self._placeholder(node)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                self._output(node)
            else:
                self._problem(node, f"{node.op} {node.target}")

    def _placeholder(self, node: torch.fx.Node) -> Value | Weight | None:
        if node.name == self.exported.input:
            return Value(INPUT)
        if node.name in self.exported.tensors:
            return Weight(*self.exported.tensors[node.name])
        return None

    def _call(self, node: torch.fx.Node) -> None:
        if node.target is operator.getitem:
            values = self._values[node.args[0]]  # type: ignore[index]
            self._values[node] = values[node.args[1]] if isinstance(values, list) else None  # type: ignore[index]
            return
        name = base_name(node)
        arguments = bind(node)
        # one unreadable place is reported once, not again by everything after it
        if any(n in self._values and self._values[n] is None for n in node.all_input_nodes):
            self._values[node] = None
            return
        try:
            if all(isinstance(self._values[n], Weight) for n in node.all_input_nodes):
                self._values[node] = self._constant(node)
                return
            self._layout = self._common_layout(node, name)
            if name in SKIPPED:
                self._values[node] = self._values[node.all_input_nodes[0]]
            elif name in HANDLERS:
                HANDLERS[name](self, node, arguments)
            else:
                raise UnsupportedError(REASONS.get(name, f"operation {name}"))
        except UnsupportedError as error:
            self._problem(node, str(error))
            return
        self._check_shape(node)
        if mutates(node):
            self._rebind(node)

    def _common_layout(self, node: torch.fx.Node, name: str) -> str:
        values = [v for n in node.all_input_nodes if isinstance(v := self._values[n], Value)]
        found = {v.layout for v in values}
        if any("G" in layout for layout in found) and name not in AXES:
            raise UnsupportedError(REORDERED)
        if len(found) > 1 or (found != {"NCHW"} and name not in ANY_LAYOUT | SKIPPED):
            raise UnsupportedError(REORDERED)
        return found.pop()

    def _constant(self, node: torch.fx.Node) -> Weight:
        """What is computed from parameters and constants alone, computed once."""
        values = {n: self._values[n] for n in node.all_input_nodes}

        def known(n: torch.fx.Node) -> Tensor:
            value = values[n]
            assert isinstance(value, Weight)
            return value.tensor

        args = torch.fx.map_arg(node.args, known)
        kwargs = torch.fx.map_arg(node.kwargs, known)
        if not callable(node.target):
            raise UnsupportedError("arithmetic with a parameter or buffer of its own")
        if mutates(node):
            raise UnsupportedError("a parameter or buffer is written to")
        result = node.target(*args, **kwargs)
        if not isinstance(result, Tensor):
            raise UnsupportedError("arithmetic with a parameter or buffer of its own")
        first = next((v.name for v in values.values() if isinstance(v, Weight)), node.name)
        return Weight(first, result.detach())

    def _rebind(self, node: torch.fx.Node) -> None:
        """After an in-place operation every name of its input means the result."""
        old, new = self._values[node.all_input_nodes[0]], self._values[node]
        for other, value in self._values.items():
            if isinstance(value, Value) and value == old:
                self._values[other] = new

    def _check_shape(self, node: torch.fx.Node) -> None:
        value = self._values[node]
        if isinstance(value, Value) and not any(value.padding):
            expected = tuple(node.meta["val"].shape[1:])
            described = in_layout(self.shapes[value.name], value.layout, value.groups)
            assert described[: len(expected)] == expected, (node, value, expected)

    def _output(self, node: torch.fx.Node) -> None:
        for item in node.args[0]:  # type: ignore[union-attr]
            value = self._values.get(item) if isinstance(item, torch.fx.Node) else None
            if isinstance(value, Value):
                if value.layout != "NCHW":
                    self._problem(node, f"an output's axes are in the order {value.layout}")
                if any(value.padding) or value.pending:
                    self._problem(node, "an output ends in padding or in arithmetic")
                self.outputs.append(value.name)
            elif not isinstance(item, torch.fx.Node) or isinstance(value, Weight):
                self._problem(node, "an output is not computed from the image")

    def _problem(self, node: torch.fx.Node, reason: str) -> None:
        path, kind = place(node)
        where = f"{path or 'the model itself'} ({kind})" if kind else "the model"
        self.problems.append(Problem(where, reason))
        self._values[node] = None

    # what handlers use -----------------------------------------------------------------------

    def feature(self, argument: Any, *, padded: bool = False, pending: bool = False) -> Value:
        """The feature tensor of an argument; refuses constants, parameters and half-read ones."""
        value = self._values.get(argument) if isinstance(argument, torch.fx.Node) else None
        if isinstance(value, Weight):
            raise UnsupportedError("arithmetic with a parameter or buffer of its own")
        if value is None or isinstance(value, list):
            raise UnsupportedError(f"arithmetic with the constant {argument!r}")
        if any(value.padding) and not padded:
            raise UnsupportedError("padding that no convolution or pooling follows")
        if value.pending and not pending:
            raise UnsupportedError("arithmetic with a constant")
        return value

    def constant(self, argument: Any) -> Weight | float | None:
        """The number, or the parameter or buffer, of an argument; None for a feature tensor."""
        if isinstance(argument, float | int):
            return float(argument)
        value = self._values.get(argument)
        return value if isinstance(value, Weight) else None

    def weight(self, argument: Any) -> Weight | None:
        """The parameter or buffer of an argument, None where there is none."""
        if argument is None:
            return None
        value = self._values.get(argument)
        if not isinstance(value, Weight):
            raise UnsupportedError(
                "its weights are computed while it runs (weight standardisation?)"
            )
        return value

    def owner(self, weight: Weight, node: torch.fx.Node) -> str:
        """The module path of a layer with weights; refuses a layer that is used twice."""
        name = weight.name.removesuffix(".weight")
        if name in self._owners:
            raise UnsupportedError("a layer with weights is used more than once")
        self._owners[name] = node.name
        return self.unique(name)

    def path(self, node: torch.fx.Node, operation: str) -> str:
        """A free name for an operation without weights: its module's path."""
        path, kind = place(node)
        own = kind.lower().replace("2d", "").replace("_", "")
        if not path or operation.replace("_", "") not in own:
            path = f"{path}.{operation}" if path else operation
        return self.unique(path)

    def unique(self, name: str) -> str:
        """The name, with a number behind it where it is taken."""
        free, number = name, 1
        # names become keys of a ModuleDict, which keeps its methods' names to itself
        while free in self.shapes or hasattr(torch.nn.ModuleDict, free) or free == "training":
            number += 1
            free = f"{name}_{number}"
        return free

    def append(self, fx: torch.fx.Node, node: Node, **weights: Tensor | None) -> None:
        """Add a node that computes ``fx``, its axes in the order of the inputs'."""
        self._values[fx] = self.add(fx, node, **weights)

    def several(self, fx: torch.fx.Node, values: list[Value]) -> None:
        """``fx`` is a list of tensors."""
        self._values[fx] = values

    def add(self, fx: torch.fx.Node, node: Node, **weights: Tensor | None) -> Value:
        """Add a node that computes a part of ``fx``."""
        inputs = [Described(i, self.shapes[i], prefix(self.shapes[i][0])) for i in node.inputs]
        _, out = node.lower(inputs, {}, "concat")
        assert out is not None
        self.nodes.append(node)
        self.shapes[node.name] = out.shape
        self.weights[node.name] = {k: t for k, t in weights.items() if t is not None}
        return Value(node.name, layout=self._layout)

    def same(self, fx: torch.fx.Node, value: Value) -> None:
        """``fx`` computes nothing new."""
        self._values[fx] = value


def in_layout(shape: Shape, layout: str, groups: int = 1) -> tuple[int, ...]:
    """The sizes of one image's axes in this order."""
    channels, height, width = shape
    sizes = {"C": channels // groups, "G": groups, "H": height, "W": width, "L": height * width}
    return tuple(sizes[axis] for axis in layout[1:])


def base_name(node: torch.fx.Node) -> str:
    """``relu`` for ``aten.relu_.default``."""
    target = node.target
    name = target._schema.name if isinstance(target, torch._ops.OpOverload) else str(target)
    name = name.split("::")[-1]
    return name.removesuffix("_") if not name.endswith("__") else name


def mutates(node: torch.fx.Node) -> bool:
    """True for an operation that writes into its first argument."""
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


def bind(node: torch.fx.Node) -> dict[str, Any]:
    """The arguments by name, defaults filled in."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return dict(node.kwargs)
    schema = node.target._schema.arguments
    bound = {a.name: a.default_value for a in schema if a.has_default_value()}
    bound.update(zip((a.name for a in schema), node.args, strict=False))
    return {**bound, **node.kwargs}


def show(shape: Shape) -> str:
    """``24×56×56``."""
    return "×".join(str(s) for s in shape)
