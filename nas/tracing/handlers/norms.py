"""Normalisations with statistics of each image, over its channels."""

from __future__ import annotations

from typing import Any, Literal

import torch

from nas.tracing.reader import Reader, UnsupportedError, Value, handles
from search_spaces.norms import LayerNorm


@handles("layer_norm", any_layout=True)
def layer_norm(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Layer normalisation over the last axis, where that holds the channels."""
    x = reader.feature(a["input"])
    vector = len(a["input"].meta["val"].shape) == 2
    if len(a["normalized_shape"]) != 1 or not (vector or x.layout[-1] == "C"):
        raise UnsupportedError("layer normalisation over something else than the channels")
    _append(reader, fx, x, a, "channels")


@handles("group_norm")
def group_norm(reader: Reader, fx: torch.fx.Node, a: dict[str, Any]) -> None:
    """Group normalisation with one group: over channels and positions."""
    if a["num_groups"] != 1:
        raise UnsupportedError(f"group normalisation with {a['num_groups']} groups")
    _append(reader, fx, reader.feature(a["input"]), a, "all")


def _append(
    reader: Reader, fx: torch.fx.Node, x: Value, a: dict[str, Any], over: Literal["channels", "all"]
) -> None:
    weight, bias = reader.weight(a["weight"]), reader.weight(a["bias"])
    channels = reader.shapes[x.name][0]
    gains = weight.tensor if weight else torch.ones(channels)
    name = reader.owner(weight, fx) if weight else reader.path(fx, "norm")
    reader.append(
        fx,
        LayerNorm(name=name, inputs=(x.name,), eps=a["eps"], over=over),
        **{
            "norm.weight": gains,
            "norm.bias": bias.tensor if bias else torch.zeros_like(gains),
        },
    )
