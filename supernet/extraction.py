"""From the shared weights to the compact network of one architecture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_spaces import Architecture, Operation
from search_spaces.choices import Values
from search_spaces.operation import Range
from supernet.compact import CompactNetwork, ConvLayer, LinearLayer, NormLayer
from supernet.layers import SuperConv, SuperLinear, SuperNorm, centre
from supernet.supernet import Supernet


@torch.no_grad()
def extract(supernet: Supernet, architecture: Architecture | Values) -> CompactNetwork:
    """The compact network with its own copy of the shared weights and running statistics.

    Filters and input channels are those that the description keeps, kernels the centres.
    Running statistics are the super-network's and match no sub-network: `recalibrate` them.
    """
    space = supernet.space
    network = space.describe(architecture)
    like = next(supernet.parameters())
    compact = CompactNetwork(network, dropout=supernet.dropout, initial=False)
    compact.to(like.device, like.dtype).train(supernet.training)
    for operation in network.operations:
        if operation.type not in ("conv", "linear", "batch_norm"):
            continue
        channels = operation.input_shapes[0][0]
        inputs = network.kept_channels(operation.inputs[0], channels)
        _copy(supernet.layer(operation.node), compact.layer(operation.name), operation, inputs)
    return compact


def take(x: Tensor, ranges: Sequence[Range], dim: int) -> Tensor:
    """The channels of ``ranges`` along a dimension, as a view where they are one range."""
    parts = [x.narrow(dim, start, stop - start) for start, stop in ranges]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _copy(
    source: nn.Module, target: nn.Module, operation: Operation, inputs: Sequence[Range]
) -> None:
    if isinstance(source, SuperConv) and isinstance(target, ConvLayer):
        depthwise = source.node.group_width == 1
        filters = inputs if depthwise else ((0, operation.output_shape[0]),)
        weight = centre(take(source.conv.weight, filters, 0), operation.kernel)
        # grouped convolutions drop whole groups, so a group's own inputs all stay
        target.conv.weight.copy_(weight if source.node.group_width else take(weight, inputs, 1))
        if target.conv.bias is not None and source.conv.bias is not None:
            target.conv.bias.copy_(take(source.conv.bias, filters, 0))
        if target.norm is not None and source.norm is not None:
            _copy_norm(source.norm, target.norm, filters)
    elif isinstance(source, SuperLinear) and isinstance(target, LinearLayer):
        filters = ((0, operation.output_shape[0]),)
        target.linear.weight.copy_(take(take(source.linear.weight, filters, 0), inputs, 1))
        if target.linear.bias is not None and source.linear.bias is not None:
            target.linear.bias.copy_(take(source.linear.bias, filters, 0))
    elif isinstance(source, SuperNorm) and isinstance(target, NormLayer):
        _copy_norm(source.norm, target.norm, inputs)
    else:
        raise TypeError(f"{type(source).__name__} is no source for {type(target).__name__}")


def _copy_norm(source: nn.BatchNorm2d, target: nn.BatchNorm2d, kept: Sequence[Range]) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(target, name).copy_(take(getattr(source, name), kept, 0))
    assert target.num_batches_tracked is not None
    target.num_batches_tracked.zero_()
