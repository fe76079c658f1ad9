"""What changes positions: pooling, reshaping, upsampling, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from nas.tracing.exported import BATCH
from nas.tracing.handlers.arguments import pads, pair
from nas.tracing.reader import (
    REORDERED,
    Reader,
    UnsupportedError,
    Value,
    base_name,
    handles,
    in_layout,
)
from search_spaces.cuts import ChannelShuffle
from search_spaces.nodes import Flatten, GlobalPool, Pool, Resize


@handles("max_pool2d")
def max_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Maximum pooling over windows."""
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
            padding=pads(x, a["padding"]),
            ceil=a["ceil_mode"],
        ),
    )


@handles("avg_pool2d")
def avg_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Average pooling over windows."""
    x = reader.feature(a["self"])
    if a["divisor_override"] is not None:
        raise UnsupportedError("average pooling with a divisor of its own")
    kernel, padding = pair(a["kernel_size"]), pads(x, a["padding"])
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


@handles("adaptive_avg_pool2d")
def adaptive_avg_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Average pooling to a size: everything, equal windows, or nothing to do."""
    x = reader.feature(a["self"])
    _global_or_windows(reader, fx, x, pair(a["output_size"]), "avg_pool")


@handles("adaptive_max_pool2d")
def adaptive_max_pool2d(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Maximum pooling to a size: equal windows, or nothing to do."""
    x = reader.feature(a["self"])
    _global_or_windows(reader, fx, x, pair(a["output_size"]), "max_pool")


def whole(x: Value, rank: int) -> bool:
    """False for a tensor whose axes of size one were dropped."""
    return rank == len(x.layout)


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


@handles("mean", any_layout=True)
def mean(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """The mean over all positions."""
    x = reader.feature(a["self"])
    shape = a["self"].meta["val"].shape
    axes = sorted(d % len(shape) for d in a.get("dim") or range(len(shape)))
    positions = [i for i, axis in enumerate(x.layout) if axis in "HWL"]
    if len(shape) != len(x.layout) or axes != positions or (a["keepdim"] and x.layout != "NCHW"):
        raise UnsupportedError("a mean over something else than all positions")
    name = reader.path(fx, "pool")
    reader.append(fx, GlobalPool(name=name, inputs=(x.name,)))
    reader.same(fx, Value(name))


@handles("flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", any_layout=True)
def reshape(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Flattening, or trailing ones that come and go."""
    x = reader.feature(a["self"])
    channels, height, width = reader.shapes[x.name]
    shape = tuple(fx.meta["val"].shape)
    if shape[0] != BATCH:
        raise UnsupportedError("a reshape that mixes images of the batch")
    if x.layout == "NCGHW" and shape[1:] == (channels, height, width):
        name = reader.path(fx, "shuffle")
        node = ChannelShuffle(name=name, inputs=(x.name,), groups=x.groups)
        reader.append(fx, node)
        reader.same(fx, Value(name))
        return
    if x.layout == "NCHW" and len(shape) == 5 and channels % shape[1] == 0:
        groups = shape[1]
        if shape[2:] == (channels // groups, height, width):
            reader.same(fx, x._replace(layout="NGCHW", groups=groups))
            return
    rows = x.layout.replace("HW", "L")
    for layout in (rows, rows.replace("L", "HW")):
        if shape[1:] == in_layout(reader.shapes[x.name], layout) and (height, width) != (1, 1):
            reader.same(fx, x._replace(layout=layout))
            return
    if x.layout != "NCHW":
        raise UnsupportedError(REORDERED)
    vector = (height, width) == (1, 1) and shape[1] == channels == math.prod(shape[1:])
    if vector or shape[1:] == (channels, height, width):
        reader.same(fx, x)
    elif shape == (BATCH, channels * height * width):
        reader.append(fx, Flatten(name=reader.path(fx, "flatten"), inputs=(x.name,)))
    else:
        tokens = " (positions become tokens, as transformers have them)" * (len(shape) == 3)
        raise UnsupportedError(f"a reshape to {'×'.join(str(s) for s in shape[1:])}{tokens}")


@handles("upsample_nearest2d", "upsample_bilinear2d")
def upsample(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Nearest or bilinear upsampling by one whole factor, half-pixel centres."""
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


@handles("pad", "constant_pad_nd")
def pad(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Padding with a constant, for the convolution or pooling that follows."""
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
