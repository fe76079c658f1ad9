"""From the shared weights to the compact network of one architecture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from search_spaces import Architecture, Network, Operation
from search_spaces.choices import Values
from search_spaces.operation import Range
from supernet.compact import LAYERS, CompactNetwork, layer_key
from supernet.layers import SuperConv, SuperLinear, SuperNorm, centre
from supernet.norms import SuperLayerNorm
from supernet.supernet import Supernet

NORM = ("weight", "bias", "running_mean", "running_var")


@torch.no_grad()
def extract(supernet: Supernet, architecture: Architecture | Values) -> CompactNetwork:
    """The compact network with its own copy of the shared weights and running statistics.

    Filters and input channels are those that the description keeps, kernels the centres.
    Running statistics are the super-network's and match no sub-network: `recalibrate` them.
    """
    network = supernet.space.describe(architecture)
    compact = _empty(supernet, network)
    state = compact.state_dict()
    for name, value in shared_weights(supernet, network).items():
        state[name].copy_(value)
    return compact


def run_sliced(supernet: Supernet, architecture: Architecture | Values, x: Tensor) -> Tensor:
    """Run one sub-network on slices of the shared weights, differentiable in them.

    What the sandwich rule does (Yu & Huang, ICCV 2019): one pass, one sub-network, its real cost.
    In training mode the batch has its own statistics, and the shared running ones stay as they
    are.
    """
    network = supernet.space.describe(architecture)
    weights = shared_weights(supernet, network)
    if supernet.training:
        # batch normalisation writes into its running statistics, so it gets copies
        running = {name: value for name, value in weights.items() if ".norm.running_" in name}
        weights |= {name: value.clone() for name, value in running.items()}
    # every weight is given, so none is allocated or initialised
    with torch.device("meta"):
        compact = CompactNetwork(network, dropout=supernet.dropout, initial=False)
    out: Tensor = functional_call(compact.train(supernet.training), weights, (x,))
    return out


def shared_weights(supernet: Supernet, network: Network) -> dict[str, Tensor]:
    """The weights of a described sub-network by their names in `CompactNetwork`.

    Views of the shared weights wherever the kept channels are one range.
    """
    weights: dict[str, Tensor] = {}
    for operation in network.operations:
        if operation.type in LAYERS:
            channels = operation.input_shapes[0][0]
            inputs = network.kept_channels(operation.inputs[0], channels)
            taken = _slices(supernet.layer(operation.node), operation, inputs)
            key = layer_key(operation.name)
            weights |= {f"layers.{key}.{name}": value for name, value in taken.items()}
    return weights


def take(x: Tensor, ranges: Sequence[Range], dim: int) -> Tensor:
    """The channels of ``ranges`` along a dimension, as a view where they are one range."""
    if len(ranges) == 1 and ranges[0] == (0, x.shape[dim]):
        return x
    parts = [x.narrow(dim, start, stop - start) for start, stop in ranges]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _empty(supernet: Supernet, network: Network) -> CompactNetwork:
    like = next(supernet.parameters())
    with torch.device(like.device):
        compact = CompactNetwork(network, dropout=supernet.dropout, initial=False)
    return compact.to(like.dtype).train(supernet.training)


def _slices(source: nn.Module, operation: Operation, inputs: Sequence[Range]) -> dict[str, Tensor]:
    filters: Sequence[Range] = ((0, operation.output_shape[0]),)
    taken: dict[str, Tensor] = {}
    if isinstance(source, SuperConv):
        if source.node.group_width == 1:
            filters = inputs
        weight = centre(take(source.conv.weight, filters, 0), operation.kernel)
        # grouped convolutions drop whole groups, so a group's own inputs all stay
        taken["conv.weight"] = weight if source.node.group_width else take(weight, inputs, 1)
        if source.conv.bias is not None:
            taken["conv.bias"] = take(source.conv.bias, filters, 0)
    elif isinstance(source, SuperLinear):
        taken["linear.weight"] = take(take(source.linear.weight, filters, 0), inputs, 1)
        if source.linear.bias is not None:
            taken["linear.bias"] = take(source.linear.bias, filters, 0)
    elif isinstance(source, SuperNorm):
        filters = inputs
    elif isinstance(source, SuperLayerNorm):
        for name in ("weight", "bias"):
            taken[f"norm.{name}"] = take(getattr(source.norm, name), inputs, 0)
    if isinstance(source, SuperConv | SuperNorm) and source.norm is not None:
        taken |= {f"norm.{name}": take(getattr(source.norm, name), filters, 0) for name in NORM}
    return taken
