"""The order of the axes: permutations, and positions in a row."""

from __future__ import annotations

from typing import Any

import torch

from nas.tracing.reader import REORDERED, Reader, UnsupportedError, handles

LAYOUTS = frozenset({"NCHW", "NHWC", "NCL", "NLC", "NGCHW", "NCGHW"})
"""The orders that are followed; with G the channels are taken apart into groups."""


@handles("permute", "transpose", any_layout=True)
def permute(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Nothing is computed; the axes' order is kept in mind."""
    x = reader.feature(a["self"])
    rank = len(x.layout)
    if rank != len(a["self"].meta["val"].shape):
        raise UnsupportedError(REORDERED)
    order = list(range(rank))
    if "dims" in a:
        order = [d % rank for d in a["dims"]]
    else:
        first, second = a["dim0"] % rank, a["dim1"] % rank
        order[first], order[second] = order[second], order[first]
    layout = "".join(x.layout[d] for d in order)
    if layout not in LAYOUTS:
        raise UnsupportedError(REORDERED)
    reader.same(fx, x._replace(layout=layout))
