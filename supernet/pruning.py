"""Smaller copies of a trained network: which filters go, and what is left of the weights.

Channels that are tied by additions and gates, or because a depthwise layer follows its input,
form groups. `reorder` sorts every group by the L2 norm of its filters, the same way in all of its
members, so that dropping the last channel drops the smallest and the network still computes the
same; `shrink` then copies what a smaller description keeps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from search_spaces import Network, Operation, SearchSpace
from search_spaces.nodes import Conv, Linear
from search_spaces.operation import Range
from supernet import CompactNetwork, ConvLayer
from supernet.compact import LAYERS, LinearLayer, NormLayer
from supernet.norms import ChannelNorm, LayerNormLayer

Source = tuple[str, str, int]
"""Where channels come from: choice, rule and multiple of the width that makes them."""

Label = tuple[Source, int]
"""One channel: its source and its position there. None in a list of labels: never moves."""

Labels = list[Label | None]


@dataclass
class Ties:
    """Sources that are tied channel by channel, the widths in use, and what forbids a move."""

    parent: dict[Source, Source] = field(default_factory=dict)
    width: dict[Source, int] = field(default_factory=dict)
    block: dict[Source, int] = field(default_factory=dict)
    fixed: set[Source] = field(default_factory=set)

    def add(self, source: Source, width: int) -> None:
        """Take note of a source and of how many channels it has."""
        self.parent.setdefault(source, source)
        self.width[source] = width
        self.block.setdefault(source, 1)

    def root(self, source: Source) -> Source:
        """The representative of the source's group."""
        while self.parent[source] != source:
            source = self.parent[source]
        return source

    def tie(self, a: Labels, b: Labels) -> None:
        """Channels that meet in an addition or a gate; at unequal positions neither moves."""
        for x, y in zip(a, b, strict=True):
            if x is None or y is None:
                self.fixed.update(label[0] for label in (x, y) if label is not None)
            else:
                self.parent[self.root(x[0])] = self.root(y[0])
                if x[1] != y[1]:
                    self.fixed.update((x[0], y[0]))

    def tie_blocks(self, x: Labels, y: Labels, size: int) -> None:
        """Into and out of a grouped convolution: whole groups move together, or none does."""
        if len(x) != len(y):
            x, y = [*x, *y], [None] * (len(x) + len(y))
        self.tie(x, y)
        for label in (*x, *y):
            if label is not None:
                self.block[label[0]] = max(self.block[label[0]], size)

    def members(self) -> dict[Source, list[Source]]:
        """Sources by group."""
        found: dict[Source, list[Source]] = defaultdict(list)
        for source in self.parent:
            found[self.root(source)].append(source)
        return found


def labels_of(network: Network, space: SearchSpace) -> tuple[dict[str, Labels], Ties]:
    """The channels of every tensor of a network, and the groups that they form."""
    nodes = {node.name: node for node in space.nodes}
    groups = Ties()
    tensors: dict[str, Labels] = {"input": [None] * network.input_shape[0]}
    for operation in network.operations:
        inputs = [tensors[name] for name in operation.inputs]
        tensors[operation.name] = _through(operation, inputs, nodes.get(operation.node), groups)
    for name in network.outputs:
        groups.fixed.update(label[0] for label in tensors[name] if label is not None)
    return tensors, groups


def _through(operation: Operation, inputs: Sequence[Labels], node: object, groups: Ties) -> Labels:
    x = inputs[0]
    count = operation.output_shape[0]
    match operation.type:
        case "conv" if operation.depthwise and count == len(x):
            return x
        case "conv" | "linear":
            assert isinstance(node, Conv | Linear)
            width = node.filters
            made: Labels = [None] * count
            if width.choice is not None:
                source = (width.choice, width.rule, width.multiple)
                groups.add(source, count)
                made = [(source, i) for i in range(count)]
            if operation.type == "conv" and operation.groups > 1:
                groups.tie_blocks(x, made, len(x) // operation.groups)
            return made
        case "add":
            groups.tie(inputs[0], inputs[1])
            return x
        case "multiply":
            groups.tie(inputs[0], inputs[1])
            return x
        case "slice":
            return x[operation.start : operation.start + count]
        case "pad_channels":
            return [*x, *[None] * (count - len(x))]
        case "channel_shuffle":
            return [None] * count
        case "concat":
            return [label for labels in inputs for label in labels]
        case "flatten":
            area = count // len(x)
            # a channel's positions move with it: several equal labels in a row
            return [label for label in x for _ in range(area)]
        case _:
            return x


@torch.no_grad()
def reorder(network: CompactNetwork, space: SearchSpace) -> None:
    """Sort every group's channels by descending L2 norm, in place; the outputs stay the same.

    The norm of a channel is that of the filters that make it (convolution or linear weights),
    summed over the members of its group. Members of unequal width are sorted within what they
    have in common and within the rest.
    """
    tensors, groups = labels_of(network.network, space)
    orders = _orders(network, tensors, groups)
    for operation in network.network.operations:
        if operation.type not in LAYERS:
            continue
        layer = network.layer(operation.name)
        into = _moves(tensors[operation.inputs[0]], orders)
        out = _moves(tensors[operation.name], orders)
        if isinstance(layer, ConvLayer):
            weight = layer.conv.weight
            if operation.groups == 1:
                weight.copy_(weight[out][:, into])
            else:
                # depthwise layers, and groups that move as a whole with all of their inputs
                weight.copy_(weight[out])
            for norm_or_bias in (layer.conv.bias, *_norm_tensors(layer.norm)):
                if norm_or_bias is not None:
                    norm_or_bias.copy_(norm_or_bias[out])
        elif isinstance(layer, LinearLayer):
            layer.linear.weight.copy_(layer.linear.weight[out][:, into])
            if layer.linear.bias is not None:
                layer.linear.bias.copy_(layer.linear.bias[out])
        elif isinstance(layer, NormLayer | LayerNormLayer):
            for tensor in _norm_tensors(layer.norm):
                tensor.copy_(tensor[out])


def _orders(
    network: CompactNetwork, tensors: Mapping[str, Labels], groups: Ties
) -> dict[Source, list[int]]:
    """For every source the old position of each new one."""
    norms: dict[Source, Tensor] = {}
    for operation in network.network.operations:
        if operation.type not in ("conv", "linear") or operation.depthwise:
            continue
        label = tensors[operation.name][0]
        if label is None:
            continue
        layer = network.layer(operation.name)
        assert isinstance(layer, ConvLayer | LinearLayer)
        weight = layer.conv.weight if isinstance(layer, ConvLayer) else layer.linear.weight
        norm = weight.detach().double().flatten(1).norm(dim=1).cpu()
        root = groups.root(label[0])
        longest = max(groups.width[s] for s in groups.members()[root])
        total = norms.setdefault(root, torch.zeros(longest, dtype=torch.float64))
        total[: len(norm)] += norm
    orders: dict[Source, list[int]] = {}
    for root, sources in groups.members().items():
        if any(source in groups.fixed for source in sources):
            continue
        block = max(groups.block[source] for source in sources)
        order: list[int] = []
        for width in sorted({groups.width[source] for source in sources}):
            start = len(order)
            sums = norms[root][start:width].view(-1, block).sum(1)
            ranked = torch.argsort(sums, descending=True, stable=True).tolist()
            order += [start + b * block + i for b in ranked for i in range(block)]
        for source in sources:
            orders[source] = order[: groups.width[source]]
    return orders


def _moves(labels: Labels, orders: Mapping[Source, list[int]]) -> list[int]:
    """For every channel of a tensor the old position of what now stands there."""
    positions: dict[Label, list[int]] = defaultdict(list)
    for position, label in enumerate(labels):
        if label is not None:
            positions[label].append(position)
    seen: dict[Label, int] = defaultdict(int)
    moves = []
    for position, label in enumerate(labels):
        if label is None or label[0] not in orders:
            moves.append(position)
            continue
        old = positions[(label[0], orders[label[0]][label[1]])]
        # a channel that fills several positions (after a flatten) keeps their order
        moves.append(old[seen[label] % len(old)])
        seen[label] += 1
    return moves


@torch.no_grad()
def shrink(network: CompactNetwork, smaller: Network) -> CompactNetwork:
    """A copy of a network with only the channels and kernel centres of a smaller description.

    Args:
        network: trained; not changed.
        smaller: of the same space, no choice larger than the network's.
    """
    like = next(network.parameters())
    copy = CompactNetwork(smaller, dropout=network.dropout, initial=False)
    copy.to(like.device, like.dtype).train(network.training)
    old = {operation.name: operation for operation in network.network.operations}
    for operation in smaller.operations:
        if operation.type not in LAYERS:
            continue
        before = old[operation.name]
        source, target = network.layer(operation.name), copy.layer(operation.name)
        # the tensor that a layer reads may be called otherwise where a unit is cut or removed
        into = _positions(
            network.network.kept_channels(before.inputs[0], before.input_shapes[0][0]),
            smaller.kept_channels(operation.inputs[0], operation.input_shapes[0][0]),
        )
        out = _positions(
            network.network.kept_channels(before.name, before.output_shape[0]),
            smaller.kept_channels(operation.name, operation.output_shape[0]),
        )
        if isinstance(source, ConvLayer) and isinstance(target, ConvLayer):
            weight = source.conv.weight[out]
            if operation.groups == 1:
                weight = weight[:, into]
            height, width = operation.kernel
            top, left = (weight.shape[2] - height) // 2, (weight.shape[3] - width) // 2
            target.conv.weight.copy_(weight[:, :, top : top + height, left : left + width])
            if source.conv.bias is not None and target.conv.bias is not None:
                target.conv.bias.copy_(source.conv.bias[out])
            if source.norm is not None and target.norm is not None:
                _copy_norm(source.norm, target.norm, out)
        elif isinstance(source, LinearLayer) and isinstance(target, LinearLayer):
            target.linear.weight.copy_(source.linear.weight[out][:, into])
            if source.linear.bias is not None:
                target.linear.bias.copy_(source.linear.bias[out])
        elif (isinstance(source, NormLayer) and isinstance(target, NormLayer)) or (
            isinstance(source, LayerNormLayer) and isinstance(target, LayerNormLayer)
        ):
            _copy_norm(source.norm, target.norm, out)
    return copy


def _positions(old: Sequence[Range], new: Sequence[Range]) -> list[int]:
    """Where the channels ``new`` stand in a tensor that holds the channels ``old``."""

    def expand(ranges: Sequence[Range]) -> list[int]:
        return [channel for start, stop in ranges for channel in range(start, stop)]

    at = {channel: position for position, channel in enumerate(expand(old))}
    return [at[channel] for channel in expand(new)]


def _norm_tensors(norm: torch.nn.BatchNorm2d | ChannelNorm | None) -> list[Tensor]:
    if norm is None:
        return []
    if isinstance(norm, ChannelNorm):
        return [norm.weight, norm.bias]
    assert norm.running_mean is not None and norm.running_var is not None
    return [norm.weight, norm.bias, norm.running_mean, norm.running_var]


def _copy_norm(
    source: torch.nn.BatchNorm2d | ChannelNorm,
    target: torch.nn.BatchNorm2d | ChannelNorm,
    out: list[int],
) -> None:
    for old, new in zip(_norm_tensors(source), _norm_tensors(target), strict=True):
        new.copy_(old[out])
    if isinstance(source, ChannelNorm) or isinstance(target, ChannelNorm):
        return
    if source.num_batches_tracked is not None and target.num_batches_tracked is not None:
        target.num_batches_tracked.copy_(source.num_batches_tracked)
