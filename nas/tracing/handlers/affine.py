"""A factor or a summand for every channel: a depthwise 1×1 convolution."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.tracing.reader import Reader, UnsupportedError, Value, Weight
from search_spaces.choices import Width
from search_spaces.nodes import Conv


def affine(
    reader: Reader,
    fx: torch.fx.Node,
    x: Value,
    *,
    scale: Weight | float | None = None,
    shift: Weight | float | None = None,
) -> None:
    """x · scale + shift, each one number or one for every channel.

    A parameter stays one, under its own name; a constant becomes one that may be trained.
    """
    shape = reader.shapes[x.name]
    factors = _vector(reader, fx, x, 1.0 if scale is None else scale)
    summands = None if shift is None else _vector(reader, fx, x, shift)
    node = Conv(
        name=reader.path(fx, "scale" if shift is None else "shift"),
        inputs=(x.name,),
        filters=Width(shape[0]),
        group_width=1 if shape[0] > 1 else 0,
        norm=False,
        bias=summands is not None,
    )
    reader.append(fx, node, weight=factors[:, None, None, None], bias=summands)


def _vector(reader: Reader, fx: torch.fx.Node, x: Value, value: Weight | float) -> Tensor:
    channels = reader.shapes[x.name][0]
    if not isinstance(value, Weight):
        return torch.full((channels,), float(value))
    tensor = value.tensor
    if tensor.numel() == 1:
        return tensor.reshape(1).expand(channels).clone()
    rank = len(fx.meta["val"].shape)
    axis = x.layout.index("C") if rank == len(x.layout) else 1
    full = (1,) * (rank - tensor.dim()) + tuple(tensor.shape)
    if any(size != 1 for i, size in enumerate(full) if i != axis) or full[axis] != channels:
        raise UnsupportedError("arithmetic with a parameter that differs from position to position")
    return tensor.reshape(channels)
