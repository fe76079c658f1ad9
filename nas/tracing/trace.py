"""Any convolutional network as a search space of its widths."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import nas.tracing.handlers  # noqa: F401  (registers what reads each operation)
from nas.tracing.exported import export, in_evaluation, outputs_of
from nas.tracing.fusion import fuse
from nas.tracing.groups import searched
from nas.tracing.reader import Problem, Reader
from search_spaces import SearchSpace, UserError
from search_spaces.nodes import Conv
from search_spaces.space import INPUT
from supernet import CompactNetwork
from supernet.compact import layer_key

Weights = dict[str, Tensor]
"""A state dict of ``Supernet(space)``, and of the compact network of its largest architecture."""

TOLERANCE = 1e-4
"""Largest difference of the rebuilt network's outputs, as a share of the largest output."""


def space_from_model(
    model: nn.Module,
    resolution: int | None = None,
    *,
    channels: int | None = None,
    name: str | None = None,
    check: bool = True,
) -> tuple[SearchSpace, Weights]:
    """The space of a trained network's widths, with the network as the largest, and its weights.

    One width choice for every group of channels that additions and concatenations tie; kernels
    and depth stay. The space is embedded: its architectures carry the graph.

    Args:
        model: any module of convolutions, batch norms, poolings, additions, concatenations,
            gates and linear layers on one image batch; it is run without data and left as it was.
        resolution: height and width of the input in pixels; by default what a timm model was
            made for, else 224.
        channels: of the input image; by default what the first convolution takes.
        name: of the space; by default the class of the model.
        check: run model and rebuilt network on random images and compare their outputs.

    Returns:
        The space and the state dict of its super-network; the tensors are the model's own.

    Raises:
        UserError: the model does not trace, or holds what cannot be described; every such
            place is named with its reason.
    """
    name = name or type(model).__name__
    channels = channels or _channels(model)
    resolution = resolution or _resolution(model)
    reader = Reader(export(model, channels, resolution), (channels, resolution, resolution))
    reader.read()
    if reader.problems:
        raise UserError(f"{name} cannot be described: {_sentence(reader.problems)}")
    if not reader.outputs or INPUT in reader.outputs:
        raise UserError(f"{name} cannot be described: an output is not computed by any layer")
    nodes, outputs, weights = fuse(reader.nodes, reader.outputs, reader.weights)
    searched_nodes, choices, units = searched(nodes, outputs, reader.shapes)
    if not choices:
        raise UserError(f"{name} has no width that could change: inputs and outputs stay fixed")
    space = SearchSpace(
        name=name,
        settings={},
        nodes=tuple(searched_nodes),
        choices=choices,
        units=tuple(units),
        outputs=tuple(outputs),
        input_channels=channels,
        resolution=resolution,
        classes=reader.shapes[outputs[0]][0],
        embedded=True,
    )
    state = state_dict(space, weights)
    if check and not any(tensor.is_meta for tensor in state.values()):
        _compare(model, space, state)
    return space, state


def state_dict(space: SearchSpace, weights: Mapping[str, Mapping[str, Tensor]]) -> Weights:
    """Node → its tensors (``weight``, ``bias``, ``norm.weight``, …) as a super-network's state."""
    state: Weights = {}
    for node in space.nodes:
        layer = f"layers.{layer_key(node.name)}"
        kind = "conv" if isinstance(node, Conv) else "linear"
        for key, tensor in weights[node.name].items():
            state[f"{layer}.{key}" if key.startswith("norm.") else f"{layer}.{kind}.{key}"] = tensor
        if f"{layer}.norm.running_mean" in state:
            state[f"{layer}.norm.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return state


@torch.no_grad()
def _compare(model: nn.Module, space: SearchSpace, state: Weights) -> None:
    like = next(iter(state.values()))
    with torch.device("meta"):
        rebuilt = CompactNetwork(space.describe(space.largest()))
    rebuilt.to_empty(device=like.device).to(like.dtype).eval()
    rebuilt.load_state_dict(state)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *space.input_shape, generator=generator).to(like)
    with in_evaluation(model):
        expected = outputs_of(model, images)
    got = outputs_of(rebuilt, images)
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        largest = b.abs().max()
        if not (a.reshape(b.shape) - b).abs().max() <= TOLERANCE * largest:
            raise RuntimeError(
                f"the rebuilt {space.name} differs from the original in output {i}: "
                f"{(a.reshape(b.shape) - b).abs().max():.3g} of {largest:.3g}"
            )


def _resolution(model: nn.Module) -> int:
    size = getattr(model, "default_cfg", {}).get("input_size", (3, 224, 224))
    return int(size[-1])


def _channels(model: nn.Module) -> int:
    # the first convolution may not be the first layer (pixel unshuffle, cosine transform)
    size = getattr(model, "default_cfg", {}).get("input_size")
    if size:
        return int(getattr(model, "in_chans", size[0]))
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def _sentence(problems: list[Problem], shown: int = 3) -> str:
    places: dict[str, list[str]] = {}
    for problem in problems:
        places.setdefault(problem.reason, []).append(problem.where)
    parts = [
        f"{where[0]}: {reason}" + (f" (and {len(where) - 1} more places)" if where[1:] else "")
        for reason, where in places.items()
    ]
    rest = f"; and {len(parts) - shown} more reasons" if len(parts) > shown else ""
    return "; ".join(parts[:shown]) + rest
