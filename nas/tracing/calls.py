"""Tensor operations of an exported module → nodes of a space's graph, one by one.

Each handler reads one ATen operation. What the description has no word for raises
`UnsupportedError`; the reader goes on, so that every such place is found before any work starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nas.tracing.exported import BATCH, Exported, place
from search_spaces.choices import Width
from search_spaces.nodes import (
    Add,
    Concat,
    Conv,
    Elementwise,
    Flatten,
    GlobalPool,
    Linear,
    Multiply,
    Node,
    Pool,
    Resize,
    prefix,
)
from search_spaces.nodes import Tensor as Described
from search_spaces.operation import Activation, Shape
from search_spaces.space import INPUT


class UnsupportedError(Exception):
    """The reason why an operation cannot be described."""


class Value(NamedTuple):
    """A tensor of the description, and zeros around it that the next convolution takes over."""

    name: str
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    filler: float = 0.0


class Weight(NamedTuple):
    """A parameter or buffer: its name in the module and its data."""

    name: str
    tensor: Tensor


class Problem(NamedTuple):
    """What cannot be described, and where it stands in the model."""

    where: str
    reason: str


ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "relu6": "relu6",
    "hardswish": "hard_swish",
    "hardsigmoid": "hard_sigmoid",
    "sigmoid": "sigmoid",
    "silu": "silu",
}

SKIPPED = frozenset(
    {"dropout", "feature_dropout", "alpha_dropout", "clone", "contiguous", "detach", "alias"}
    | {"lift_fresh_copy", "to", "_to_copy"}
)
"""Operations that do nothing in evaluation mode."""

REASONS = {
    "layer_norm": "layer normalisation has statistics of its own for every image",
    "native_layer_norm": "layer normalisation has statistics of its own for every image",
    "group_norm": "group normalisation has statistics of its own for every image",
    "instance_norm": "instance normalisation has statistics of its own for every image",
    "conv_transpose2d": "transposed convolution; upsample and convolve instead",
    "scaled_dot_product_attention": "attention",
    "softmax": "softmax (attention, or a classifier's last step: leave it out of the model)",
    "_softmax": "softmax (attention, or a classifier's last step: leave it out of the model)",
    "matmul": "a product of two feature tensors (attention)",
    "bmm": "a product of two feature tensors (attention)",
    "pixel_shuffle": "pixel shuffle moves channels into positions",
    "pixel_unshuffle": "pixel unshuffle moves positions into channels",
    "chunk": "channels are split; channel groups hold whole tensors",
    "split": "channels are split; channel groups hold whole tensors",
    "split_with_sizes": "channels are split; channel groups hold whole tensors",
    "slice": "a part of a tensor is taken; channel groups hold whole tensors",
    "permute": "dimensions are reordered",
    "transpose": "dimensions are reordered",
    "conv1d": "one-dimensional convolution",
    "conv3d": "three-dimensional convolution",
    "gelu": "activation GELU",
    "leaky_relu": "activation LeakyReLU",
    "prelu": "activation PReLU",
    "elu": "activation ELU",
    "mish": "activation Mish",
    "tanh": "activation Tanh",
    "softplus": "activation Softplus",
}

Handler = Callable[["Reader", torch.fx.Node, dict[str, Any]], None]


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
    _values: dict[torch.fx.Node, Value | Weight | None] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)

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
        name = base_name(node)
        arguments = bind(node)
        # one unreadable place is reported once, not again by everything after it
        if any(n in self._values and self._values[n] is None for n in node.all_input_nodes):
            self._values[node] = None
            return
        try:
            if name in SKIPPED:
                self._values[node] = self._values[node.all_input_nodes[0]]
            elif name in ACTIVATIONS or name == "hardtanh":
                _activation(self, node, arguments)
            elif name in HANDLERS:
                HANDLERS[name](self, node, arguments)
            elif all(isinstance(self._values[n], Weight) for n in node.all_input_nodes):
                raise UnsupportedError("arithmetic with a parameter or buffer of its own")
            else:
                raise UnsupportedError(REASONS.get(name, f"operation {name}"))
        except UnsupportedError as error:
            self._problem(node, str(error))
            return
        self._check_shape(node)
        if mutates(node):
            self._rebind(node)

    def _rebind(self, node: torch.fx.Node) -> None:
        """After an in-place operation every name of its input means the result."""
        old, new = self._values[node.all_input_nodes[0]], self._values[node]
        for other, value in self._values.items():
            if isinstance(value, Value) and value == old:
                self._values[other] = new

    def _check_shape(self, node: torch.fx.Node) -> None:
        value = self._values[node]
        if isinstance(value, Value) and value.padding == (0, 0, 0, 0):
            expected = tuple(node.meta["val"].shape[1:])
            assert self.shapes[value.name][: len(expected)] == expected, (node, value, expected)

    def _output(self, node: torch.fx.Node) -> None:
        for item in node.args[0]:  # type: ignore[union-attr]
            value = self._values.get(item) if isinstance(item, torch.fx.Node) else None
            if isinstance(value, Value):
                if any(value.padding):
                    self._problem(node, "an output is padded")
                self.outputs.append(value.name)
            elif not isinstance(item, torch.fx.Node) or isinstance(value, Weight):
                self._problem(node, "an output is not computed from the image")

    def _problem(self, node: torch.fx.Node, reason: str) -> None:
        path, kind = place(node)
        where = f"{path or 'the model itself'} ({kind})" if kind else "the model"
        if "LayerNorm" in kind:
            # timm's reorder the dimensions first; the layer is what its user knows
            reason = REASONS["layer_norm"]
        self.problems.append(Problem(where, reason))
        self._values[node] = None

    # what handlers use -----------------------------------------------------------------------

    def feature(self, argument: Any, *, padded: bool = False) -> Value:
        """The feature tensor of an argument; refuses constants and parameters."""
        value = self._values.get(argument) if isinstance(argument, torch.fx.Node) else None
        if isinstance(value, Weight):
            raise UnsupportedError("arithmetic with a parameter or buffer of its own")
        if value is None:
            raise UnsupportedError(f"arithmetic with the constant {argument!r}")
        if any(value.padding) and not padded:
            raise UnsupportedError("padding that no convolution or pooling follows")
        return value

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
        """Add a node that computes ``fx``."""
        inputs = [Described(i, self.shapes[i], prefix(self.shapes[i][0])) for i in node.inputs]
        _, out = node.lower(inputs, {}, "concat")
        assert out is not None
        self.nodes.append(node)
        self.shapes[node.name] = out.shape
        self.weights[node.name] = {k: t for k, t in weights.items() if t is not None}
        self._values[fx] = Value(node.name)

    def same(self, fx: torch.fx.Node, value: Value) -> None:
        """``fx`` computes nothing new."""
        self._values[fx] = value


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


def pair(value: Any, default: tuple[int, int] | None = None) -> tuple[int, int]:
    """(vertical, horizontal) of an argument that may be one number, a list of one or of two."""
    values = [value] if isinstance(value, int) else list(value)
    if not values and default is not None:
        return default
    return (values[0], values[-1])


def _pads(value: Value, padding: Any) -> tuple[int, int, int, int]:
    rows, columns = pair(padding)
    top, bottom, left, right = value.padding
    return (top + rows, bottom + rows, left + columns, right + columns)


# handlers ------------------------------------------------------------------------------------


def _conv2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["input"], padded=True)
    weight, bias = reader.weight(a["weight"]), reader.weight(a["bias"])
    assert weight is not None
    if x.filler != 0:
        raise UnsupportedError(f"convolution over padding with {x.filler}")
    dilation = pair(a["dilation"])
    filters, per_group, *kernel = weight.tensor.shape
    if dilation != (1, 1) and tuple(kernel) != (1, 1):
        raise UnsupportedError(f"dilation {dilation[0]}×{dilation[1]}")
    channels, groups = reader.shapes[x.name][0], a["groups"]
    # one channel in one group is dense, not depthwise
    group_width = 0 if groups == 1 else per_group
    if group_width == 1 and filters != channels:
        raise UnsupportedError(
            f"depthwise convolution with {filters // channels} filters per channel"
        )
    stride = pair(a["stride"])
    if a["padding"] == "same":
        # torch puts the odd one behind
        extra = [k - 1 for k in kernel]
        sides = [(e // 2, e - e // 2) for e in extra]
        padding = tuple(p + s for p, s in zip(x.padding, (*sides[0], *sides[1]), strict=True))
    else:
        padding = _pads(x, 0 if a["padding"] == "valid" else a["padding"])
    reader.append(
        fx,
        Conv(
            name=reader.owner(weight, fx),
            inputs=(x.name,),
            filters=Width(filters),
            kernel=(kernel[0], kernel[1]),
            stride=stride,
            padding=padding,  # type: ignore[arg-type]
            group_width=group_width,
            norm=False,
            bias=bias is not None,
        ),
        weight=weight.tensor,
        bias=bias.tensor if bias else None,
    )


def _linear(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["input"])
    if len(a["input"].meta["val"].shape) != 2:
        raise UnsupportedError("a linear layer over something else than one vector per image")
    weight, bias = reader.weight(a["weight"]), reader.weight(a["bias"])
    assert weight is not None
    reader.append(
        fx,
        Linear(
            name=reader.owner(weight, fx),
            inputs=(x.name,),
            filters=Width(weight.tensor.shape[0]),
            bias=bias is not None,
        ),
        weight=weight.tensor,
        bias=bias.tensor if bias else None,
    )


def _batch_norm(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["input"])
    mean, var = reader.weight(a["running_mean"]), reader.weight(a["running_var"])
    if a["training"] or mean is None or var is None:
        raise UnsupportedError("batch normalisation without running statistics")
    weight, bias = reader.weight(a["weight"]), reader.weight(a["bias"])
    anchor = Weight(mean.name.removesuffix("running_mean") + "weight", mean.tensor)
    reader.append(
        fx,
        Elementwise(name=reader.owner(anchor, fx), inputs=(x.name,), norm=True, norm_eps=a["eps"]),
        **{
            "norm.weight": weight.tensor if weight else torch.ones_like(mean.tensor),
            "norm.bias": bias.tensor if bias else torch.zeros_like(mean.tensor),
            "norm.running_mean": mean.tensor,
            "norm.running_var": var.tensor,
        },
    )


def _activation(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"])
    name = base_name(fx)
    if name == "hardtanh":
        if (a["min_val"], a["max_val"]) != (0, 6):
            raise UnsupportedError(f"activation Hardtanh({a['min_val']}, {a['max_val']})")
        name = "relu6"
    node = Elementwise(
        name=reader.path(fx, name), inputs=(x.name,), activation=ACTIVATIONS[name], norm=False
    )
    reader.append(fx, node)


def _add(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x, y = reader.feature(a["self"]), reader.feature(a["other"])
    if a["alpha"] != 1:
        raise UnsupportedError(f"addition with the factor {a['alpha']}")
    if reader.shapes[x.name] != reader.shapes[y.name]:
        raise UnsupportedError(
            f"addition of {_show(reader.shapes[x.name])} and {_show(reader.shapes[y.name])}"
        )
    if x == y:
        raise UnsupportedError("a tensor is added to itself")
    reader.append(fx, Add(name=reader.path(fx, "add"), inputs=(x.name, y.name)))


def _mul(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x, y = reader.feature(a["self"]), reader.feature(a["other"])
    if _is_gate(reader, x, y):
        x, y = y, x
    if not _is_gate(reader, y, x):
        silu = _silu(reader, x, y)
        if silu is None:
            raise UnsupportedError(
                f"product of {_show(reader.shapes[x.name])} and {_show(reader.shapes[y.name])}; "
                "only a gate per channel is described"
            )
        reader.append(
            fx, Elementwise(name=reader.path(fx, "silu"), inputs=(silu,), activation="silu")
        )
        return
    reader.append(fx, Multiply(name=reader.path(fx, "multiply"), inputs=(x.name, y.name)))


def _is_gate(reader: Reader, gate: Value, x: Value) -> bool:
    full = reader.shapes[x.name]
    return full[1:] != (1, 1) and reader.shapes[gate.name] == (full[0], 1, 1)


def _silu(reader: Reader, x: Value, y: Value) -> str | None:
    """The input of x · sigmoid(x), None where the product is none."""
    made = {node.name: node for node in reader.nodes}
    for whole, gate in ((x, y), (y, x)):
        node = made.get(gate.name)
        if node is None or node.inputs != (whole.name,):
            continue
        if isinstance(node, Elementwise) and node.activation == "sigmoid":
            return whole.name
    return None


def _cat(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    parts = [reader.feature(part) for part in a["tensors"]]
    rank = len(fx.meta["val"].shape)
    if a["dim"] % rank != 1:
        raise UnsupportedError("concatenation along another dimension than the channels")
    maxima = tuple(reader.shapes[part.name][0] for part in parts)
    if len(parts) == 1:
        reader.same(fx, parts[0])
        return
    reader.append(
        fx,
        Concat(
            name=reader.path(fx, "concat"),
            inputs=tuple(part.name for part in parts),
            maxima=maxima,
        ),
    )


def _max_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"], padded=True)
    if any(x.padding) and x.filler != -math.inf:
        raise UnsupportedError("maximum pooling over padding with zeros")
    if pair(a["dilation"]) != (1, 1):
        raise UnsupportedError("pooling with dilation")
    kernel = pair(a["kernel_size"])
    reader.append(
        fx,
        Pool(
            name=reader.path(fx, "max_pool"),
            inputs=(x.name,),
            type="max_pool",
            kernel=kernel,
            stride=pair(a["stride"], kernel),
            padding=_pads(x, a["padding"]),
            ceil=a["ceil_mode"],
        ),
    )


def _avg_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"])
    if a["divisor_override"] is not None:
        raise UnsupportedError("average pooling with a divisor of its own")
    kernel, padding = pair(a["kernel_size"]), _pads(x, a["padding"])
    reader.append(
        fx,
        Pool(
            name=reader.path(fx, "avg_pool"),
            inputs=(x.name,),
            type="avg_pool",
            kernel=kernel,
            stride=pair(a["stride"], kernel),
            padding=padding,
            ceil=a["ceil_mode"],
            count_padding=bool(a["count_include_pad"]) and any(padding),
        ),
    )


def _adaptive_avg_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"])
    _global_or_windows(reader, fx, x, pair(a["output_size"]), "avg_pool")


def _adaptive_max_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"])
    _global_or_windows(reader, fx, x, pair(a["output_size"]), "max_pool")


def _global_or_windows(
    reader: Reader, fx: torch.fx.Node, x: Value, size: tuple[int, int], kind: Any
) -> None:
    height, width = reader.shapes[x.name][1:]
    if (height, width) == size:
        reader.same(fx, x)
    elif size == (1, 1) and kind == "avg_pool":
        reader.append(fx, GlobalPool(name=reader.path(fx, "pool"), inputs=(x.name,)))
    elif height % size[0] == 0 and width % size[1] == 0:
        kernel = (height // size[0], width // size[1])
        name = reader.path(fx, kind)
        reader.append(
            fx, Pool(name=name, inputs=(x.name,), type=kind, kernel=kernel, stride=kernel)
        )
    else:
        raise UnsupportedError(
            f"adaptive pooling from {height}×{width} to {size[0]}×{size[1]}: windows differ"
        )


def _mean(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"])
    shape = a["self"].meta["val"].shape
    axes = sorted(d % len(shape) for d in a.get("dim") or range(len(shape)))
    if len(shape) != 4 or axes != [2, 3]:
        raise UnsupportedError("a mean over something else than all positions")
    reader.append(fx, GlobalPool(name=reader.path(fx, "pool"), inputs=(x.name,)))


def _reshape(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"])
    channels, height, width = reader.shapes[x.name]
    shape = tuple(fx.meta["val"].shape)
    if shape[0] != BATCH:
        raise UnsupportedError("a reshape that mixes images of the batch")
    if shape[1:] in ((channels, height, width), (channels,)) and math.prod(shape[1:]) == (
        channels * height * width
    ):
        reader.same(fx, x)
    elif shape == (BATCH, channels * height * width):
        reader.append(fx, Flatten(name=reader.path(fx, "flatten"), inputs=(x.name,)))
    elif (height, width) == (1, 1) and shape == (BATCH, channels, 1, 1):
        reader.same(fx, x)
    else:
        tokens = " (positions become tokens, as transformers have them)" * (len(shape) == 3)
        raise UnsupportedError(f"a reshape to {'×'.join(str(s) for s in shape[1:])}{tokens}")


def _upsample(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["input"] if "input" in a else a["self"])
    bilinear = "bilinear" in base_name(fx)
    if bilinear and a["align_corners"]:
        raise UnsupportedError("upsampling with align_corners=True")
    height, width = reader.shapes[x.name][1:]
    out_height, out_width = fx.meta["val"].shape[2:]
    factor = out_height // height
    if (out_height, out_width) == (height, width):
        reader.same(fx, x)
        return
    if factor < 2 or (height * factor, width * factor) != (out_height, out_width):
        raise UnsupportedError(
            f"resizing {height}×{width} to {out_height}×{out_width}: not one whole factor"
        )
    reader.append(
        fx,
        Resize(
            name=reader.path(fx, "upsample"),
            inputs=(x.name,),
            factor=factor,
            mode="bilinear" if bilinear else "nearest",
        ),
    )


def _pad(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    x = reader.feature(a["self"], padded=True)
    mode, filler = a.get("mode", "constant"), float(a.get("value") or 0.0)
    sides: Sequence[int] = list(a["pad"])
    if not any(sides):
        reader.same(fx, x)
        return
    if mode != "constant":
        raise UnsupportedError(f"padding of mode {mode}")
    if any(s < 0 for s in sides) or any(sides[4:]):
        raise UnsupportedError("padding of channels, or cutting")
    left, right, top, bottom = (*sides, 0, 0, 0, 0)[:4]
    old = x.padding
    if any(old) and x.filler != filler:
        raise UnsupportedError("two paddings with different values")
    padding = (old[0] + top, old[1] + bottom, old[2] + left, old[3] + right)
    reader.same(fx, Value(x.name, padding, filler))


def _show(shape: Shape) -> str:
    return "×".join(str(s) for s in shape)


HANDLERS: dict[str, Handler] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "add": _add,
    "mul": _mul,
    "cat": _cat,
    "concat": _cat,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "adaptive_max_pool2d": _adaptive_max_pool2d,
    "mean": _mean,
    "flatten": _reshape,
    "view": _reshape,
    "reshape": _reshape,
    "_unsafe_view": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "upsample_nearest2d": _upsample,
    "upsample_bilinear2d": _upsample,
    "pad": _pad,
    "constant_pad_nd": _pad,
}
