"""Sums, products and concatenations of tensors, and activations written out by hand."""

from __future__ import annotations

import math
from typing import Any

import torch

from nas.tracing.handlers.affine import affine
from nas.tracing.reader import Reader, UnsupportedError, Value, Weight, handles, show
from search_spaces.joins import Add, Concat
from search_spaces.nodes import Elementwise, Multiply
from search_spaces.operation import Activation

HAND_WRITTEN: dict[str, Activation] = {"relu6(x+3)": "hard_sigmoid", "x*relu6(x+3)": "hard_swish"}
"""What a pending value is, divided by 6."""

GATED: dict[str, Activation] = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}
"""x times an activation of x."""


@handles("add", any_layout=True)
def add(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A sum of two maps of one shape; x + 3 may begin a hand-written hard-swish."""
    if isinstance(a["self"], torch.fx.Node) and reader.constant(a["self"]) is not None:
        a = {**a, "self": a["other"], "other": a["self"]}
    x = reader.feature(a["self"])
    if a["other"] == 3:
        reader.same(fx, x._replace(pending="x+3"))
        return
    summand = reader.constant(a["other"])
    if summand is not None and a["alpha"] == 1:
        if summand == 0:
            reader.same(fx, x)
        else:
            affine(reader, fx, x, shift=summand)
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


@handles("mul", any_layout=True)
def mul(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A gate per channel, or an activation written as a product."""
    if reader.constant(a["self"]) is not None:
        a = {**a, "self": a["other"], "other": a["self"]}
    factor = reader.constant(a["other"])
    if factor is not None:
        _scale(reader, fx, a["self"], factor)
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
    if product is None and x != y and shapes[0] == shapes[1]:
        reader.append(fx, Multiply(name=reader.path(fx, "multiply"), inputs=(x.name, y.name)))
        return
    if product is None:
        raise UnsupportedError(
            f"product of {show(reader.shapes[x.name])} and {show(reader.shapes[y.name])}; "
            "only equal shapes and a gate per channel are described"
        )
    source, activation = product
    name = reader.path(fx, activation)
    reader.append(fx, Elementwise(name=name, inputs=(source,), activation=activation))


@handles("sub", any_layout=True)
def sub(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A constant taken away."""
    summand = reader.constant(a["other"])
    if summand is None or a["alpha"] != 1:
        raise UnsupportedError("a difference of tensors")
    negative = Weight(summand.name, -summand.tensor) if isinstance(summand, Weight) else -summand
    affine(reader, fx, reader.feature(a["self"]), shift=negative)


@handles("div", any_layout=True)
def div(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """The division by 6 that ends a hand-written hard-swish."""
    if not isinstance(a["other"], float | int) or a["other"] == 0:
        raise UnsupportedError("a quotient of tensors")
    _scale(reader, fx, a["self"], 1 / a["other"])


def _scale(reader: Reader, fx: torch.fx.Node, argument: Any, factor: Weight | float) -> None:
    """A product with a constant, or the last step of an activation written out by hand."""
    x = reader.feature(argument, pending=True)
    activation = HAND_WRITTEN.get(x.pending)
    if activation is None and not x.pending:
        affine(reader, fx, x, scale=factor)
        return
    sixth = isinstance(factor, float) and math.isclose(factor, 1 / 6, rel_tol=1e-3)
    if activation is None or not sixth:
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


@handles("cat", "concat", any_layout=True)
def cat(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A concatenation of channels."""
    parts = [reader.feature(part) for part in a["tensors"]]
    rank = len(fx.meta["val"].shape)
    axis = parts[0].layout.index("C") if rank == len(parts[0].layout) else 1
    if a["dim"] % rank != axis:
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
