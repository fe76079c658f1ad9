"""Sums, products and concatenations of tensors, and activations written out by hand."""

from __future__ import annotations

import math
from typing import Any

import torch

from nas.tracing.reader import Reader, UnsupportedError, Value, handles, show
from search_spaces.joins import Add, Concat
from search_spaces.nodes import Elementwise, Multiply
from search_spaces.operation import Activation

HAND_WRITTEN: dict[str, Activation] = {"relu6(x+3)": "hard_sigmoid", "x*relu6(x+3)": "hard_swish"}
"""What a pending value is, divided by 6."""

GATED: dict[str, Activation] = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}
"""x times an activation of x."""


@handles("add")
def add(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A sum of two maps of one shape; x + 3 may begin a hand-written hard-swish."""
    x = reader.feature(a["self"])
    if a["other"] == 3:
        reader.same(fx, x._replace(pending="x+3"))
        return
    y = reader.feature(a["other"])
    if a["alpha"] != 1:
        raise UnsupportedError(f"addition with the factor {a['alpha']}")
    if reader.shapes[x.name] != reader.shapes[y.name]:
        raise UnsupportedError(
            f"addition of {show(reader.shapes[x.name])} and {show(reader.shapes[y.name])}"
        )
    if x == y:
        raise UnsupportedError("a tensor is added to itself")
    reader.append(fx, Add(name=reader.path(fx, "add"), inputs=(x.name, y.name)))


@handles("mul")
def mul(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A gate per channel, or an activation written as a product."""
    if isinstance(a["other"], float | int):
        _scale(reader, fx, a["self"], float(a["other"]))
        return
    x, y = (reader.feature(a[key], pending=True) for key in ("self", "other"))
    for whole, part in ((x, y), (y, x)):
        if part == whole._replace(pending="relu6(x+3)") and not whole.pending:
            reader.same(fx, whole._replace(pending="x*relu6(x+3)"))
            return
    x, y = reader.feature(a["self"]), reader.feature(a["other"])
    if _is_gate(reader, x, y):
        x, y = y, x
    if _is_gate(reader, y, x):
        reader.append(fx, Multiply(name=reader.path(fx, "multiply"), inputs=(x.name, y.name)))
        return
    product = _activated(reader, x, y)
    shapes = [reader.shapes[value.name] for value in (x, y)]
    if product is None and x != y and shapes[0] == shapes[1] == (shapes[0][0], 1, 1):
        # a map of one pixel and its gate
        reader.append(fx, Multiply(name=reader.path(fx, "multiply"), inputs=(x.name, y.name)))
        return
    if product is None:
        raise UnsupportedError(
            f"product of {show(reader.shapes[x.name])} and {show(reader.shapes[y.name])}; "
            "only a gate per channel is described"
        )
    source, activation = product
    name = reader.path(fx, activation)
    reader.append(fx, Elementwise(name=name, inputs=(source,), activation=activation))


@handles("div")
def div(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """The division by 6 that ends a hand-written hard-swish."""
    if not isinstance(a["other"], float | int) or a["other"] == 0:
        raise UnsupportedError("a quotient of tensors")
    _scale(reader, fx, a["self"], 1 / a["other"])


def _scale(reader: Reader, fx: torch.fx.Node, argument: Any, factor: float) -> None:
    """A product with a constant: the last step of an activation written out by hand."""
    x = reader.feature(argument, pending=True)
    activation = HAND_WRITTEN.get(x.pending)
    if activation is None or not math.isclose(factor, 1 / 6, rel_tol=1e-3):
        raise UnsupportedError("arithmetic with a constant")
    name = reader.path(fx, activation)
    reader.append(fx, Elementwise(name=name, inputs=(x.name,), activation=activation))


def _is_gate(reader: Reader, gate: Value, x: Value) -> bool:
    full = reader.shapes[x.name]
    return full[1:] != (1, 1) and reader.shapes[gate.name] == (full[0], 1, 1)


def _activated(reader: Reader, x: Value, y: Value) -> tuple[str, Activation] | None:
    """The input and the name of x · sigmoid(x) or x · hard_sigmoid(x)."""
    made = {node.name: node for node in reader.nodes}
    for whole, gate in ((x, y), (y, x)):
        node = made.get(gate.name)
        if isinstance(node, Elementwise) and node.inputs == (whole.name,):
            activation = GATED.get(node.activation)
            if activation is not None:
                return whole.name, activation
    return None


@handles("cat", "concat")
def cat(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A concatenation of channels."""
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
