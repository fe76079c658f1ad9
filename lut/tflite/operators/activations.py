"""Activations, fused by the runtime or as operators of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lut.tflite.operators.base import Lowering, lowers


@lowers("activation")
def _activation(at: Lowering, inputs: Sequence[int]) -> int:
    code = {"relu": "RELU", "relu6": "RELU6"}.get(at.op.activation)
    if code is not None:
        return at.b.operator(code, inputs, f"{at.name}/out", at.out)
    return activate(at, inputs[0])


def activate(at: Lowering, x: int) -> int:
    """Append the activation where it is not `fused`."""
    b, shape, kind = at.b, at.b.shape(x), at.op.activation
    if kind == "hard_swish":
        return b.operator("HARD_SWISH", [x], f"{at.name}/out", shape, "HardSwishOptions")
    if kind == "hard_sigmoid":
        return sixth(at, _plus_three(at, x))
    if kind == "gelu":
        return b.operator("GELU", [x], f"{at.name}/out", shape, "GeluOptions")
    if kind in {"elu", "tanh"}:
        return b.operator(kind.upper(), [x], f"{at.name}/out", shape)
    if kind in {"sigmoid", "silu"}:
        gate = b.operator("LOGISTIC", [x], f"{at.name}/sigmoid", shape)
        if kind == "sigmoid":
            return gate
        return b.operator("MUL", [x, gate], f"{at.name}/out", shape, "MulOptions")
    return x


def _plus_three(at: Lowering, x: int) -> int:
    three = at.b.constant("three", np.array([3], dtype=np.float32))
    relu6 = at.b.s.ActivationFunctionType.RELU6
    shape = at.b.shape(x)
    return at.b.operator(
        "ADD",
        [x, three],
        f"{at.name}/relu6",
        shape,
        "AddOptions",
        fusedActivationFunction=relu6,
    )


def sixth(at: Lowering, x: int) -> int:
    """Append the product with 1/6 that ends a hard-sigmoid."""
    sixth = at.b.constant("sixth", np.array([1 / 6], dtype=np.float32))
    return at.b.operator("MUL", [x, sixth], f"{at.name}/out", at.b.shape(x), "MulOptions")
