"""Parts of a tensor: channels that are split off, every second position."""

from __future__ import annotations

from typing import Any

import torch

from nas.tracing.handlers.positions import whole
from nas.tracing.reader import Reader, UnsupportedError, Value, handles
from search_spaces.cuts import Slice
from search_spaces.nodes import Pool


@handles("slice", any_layout=True)
def cut(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Some of the channels, or every n-th row or column from the first one on."""
    x = reader.feature(a["self"])
    shape = a["self"].meta["val"].shape
    axis, step = a["dim"] % len(shape), a["step"]
    size = shape[axis]
    start, stop, _ = slice(a["start"], a["end"]).indices(size)
    if (start, stop, step) == (0, size, 1):
        reader.same(fx, x)
    elif axis == channel_axis(x, len(shape)) and step == 1:
        reader.append(fx, _part(reader, fx, x, start, stop))
    elif x.layout == "NCHW" and axis in (2, 3) and (start, stop) == (0, size):
        stride = (step, 1) if axis == 2 else (1, step)
        name = reader.path(fx, "stride")
        pool = Pool(name=name, inputs=(x.name,), type="max_pool", kernel=(1, 1), stride=stride)
        reader.append(fx, pool)
    else:
        raise UnsupportedError("a part of the positions is taken")


@handles("chunk", "split", "split_with_sizes", any_layout=True)
def split(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """All channels, in parts one after the other."""
    x = reader.feature(a["self"])
    rank = len(a["self"].meta["val"].shape)
    if a["dim"] % rank != channel_axis(x, rank):
        raise UnsupportedError("a split along another dimension than the channels")
    parts: list[Value] = []
    offset = 0
    for value in fx.meta["val"]:
        channels = value.shape[channel_axis(x, rank)]
        parts.append(reader.add(fx, _part(reader, fx, x, offset, offset + channels)))
        offset += channels
    reader.several(fx, parts)


def channel_axis(x: Value, rank: int) -> int:
    """Where the channels stand in a tensor of so many axes."""
    return x.layout.index("C") if whole(x, rank) else 1


def _part(reader: Reader, fx: torch.fx.Node, x: Value, start: int, stop: int) -> Slice:
    return Slice(name=reader.path(fx, "part"), inputs=(x.name,), start=start, stop=stop)
