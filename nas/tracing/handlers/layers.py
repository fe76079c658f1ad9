"""Layers with weights, and activations."""

from __future__ import annotations

from typing import Any

import torch

from nas.tracing.handlers.arguments import pads, pair
from nas.tracing.reader import Reader, UnsupportedError, Weight, base_name, handles
from search_spaces.choices import Width
from search_spaces.nodes import Conv, Elementwise, Linear
from search_spaces.operation import Activation

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "relu6": "relu6",
    "hardswish": "hard_swish",
    "hardsigmoid": "hard_sigmoid",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "gelu": "gelu",
    "elu": "elu",
    "tanh": "tanh",
}


@handles("conv2d")
def conv2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Dense, depthwise or grouped convolution, padded with zeros."""
    x = reader.feature(a["input"], padded=True)
    weight, bias = reader.weight(a["weight"]), reader.weight(a["bias"])
    assert weight is not None
    if x.filler != 0:
        raise UnsupportedError(f"convolution over padding with {x.filler}")
    dilation = pair(a["dilation"])
    filters, per_group, *kernel = weight.tensor.shape
    if tuple(kernel) == (1, 1):
        dilation = (1, 1)
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
        extra = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        sides = [(e // 2, e - e // 2) for e in extra]
        padding = tuple(p + s for p, s in zip(x.padding, (*sides[0], *sides[1]), strict=True))
    else:
        padding = pads(x, 0 if a["padding"] == "valid" else a["padding"])
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
            dilation=dilation,
            norm=False,
            bias=bias is not None,
        ),
        weight=weight.tensor,
        bias=bias.tensor if bias else None,
    )


@handles("linear", any_layout=True)
def linear(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """A fully connected layer, on one vector per image or at every position."""
    x = reader.feature(a["input"])
    weight, bias = reader.weight(a["weight"]), reader.weight(a["bias"])
    assert weight is not None
    if len(a["input"].meta["val"].shape) != 2:
        if x.layout[-1] != "C":
            raise UnsupportedError("a linear layer over something else than channels")
        # at every position: a 1×1 convolution
        node = Conv(
            name=reader.owner(weight, fx),
            inputs=(x.name,),
            filters=Width(weight.tensor.shape[0]),
            norm=False,
            bias=bias is not None,
        )
        one = weight.tensor[:, :, None, None]
        reader.append(fx, node, weight=one, bias=bias.tensor if bias else None)
        return
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


@handles("batch_norm")
def batch_norm(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Batch normalisation with running statistics; `fuse` gives it to its convolution."""
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


@handles(*ACTIVATIONS, "hardtanh", "clamp", any_layout=True)
def activation(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """An activation; `fuse` gives it to what makes its input."""
    x = reader.feature(a["self"], pending=True)
    name = base_name(fx)
    if name in ("hardtanh", "clamp"):
        low, high = (a["min_val"], a["max_val"]) if name == "hardtanh" else (a["min"], a["max"])
        if (low, high) != (0, 6):
            raise UnsupportedError(f"clipping to {low} … {high}; only ReLU6 is described")
        name = "relu6"
    if x.pending == "x+3" and name == "relu6":
        reader.same(fx, x._replace(pending="relu6(x+3)"))
        return
    x = reader.feature(a["self"])
    if a.get("approximate", "none") != "none":
        raise UnsupportedError("GELU by an approximation")
    if name == "elu" and (a["alpha"], a["scale"], a["input_scale"]) != (1, 1, 1):
        raise UnsupportedError("ELU with factors of its own")
    node = Elementwise(
        name=reader.path(fx, name), inputs=(x.name,), activation=ACTIVATIONS[name], norm=False
    )
    reader.append(fx, node)
