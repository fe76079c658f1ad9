"""The super-network: one set of weights that holds every network of a search space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import SearchSpace
from search_spaces.choices import Values
from search_spaces.cuts import ChannelShuffle, Slice
from search_spaces.joins import Add, Bypass, Concat
from search_spaces.nodes import (
    Conv,
    Elementwise,
    Flatten,
    GlobalPool,
    Linear,
    Multiply,
    Node,
    Pool,
    Resize,
)
from search_spaces.norms import LayerNorm
from search_spaces.space import INPUT
from supernet import functional
from supernet.activations import ACTIVATIONS
from supernet.assignment import Assignment
from supernet.compact import join_outputs, layer_key
from supernet.initialisation import initialise
from supernet.layers import Batch, SuperConv, SuperLinear, SuperNorm, apply_mask
from supernet.masks import MaskPlan
from supernet.norms import SuperLayerNorm


class Supernet(nn.Module):
    """Runs a batch in which every group of images has its own sub-network (ordered dropout).

    Channels that a sub-network lacks are zeroed (ordered dropout), so that each image
    sees what it would see in its extracted network. Yang et al., CVPR 2021, section 3.2.

    Args:
        space: the search space; the weights are those of its largest network.
        dropout: probability of dropping an input of the last linear layer in training.
    """

    def __init__(self, space: SearchSpace, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.space = space
        self.dropout = dropout
        self.plan = MaskPlan(space)
        self.layers = nn.ModuleDict()
        for node in space.nodes:
            layer = self._make(node)
            if layer is not None:
                self.layers[layer_key(node.name)] = layer
        linear = [node.name for node in space.nodes if isinstance(node, Linear)]
        self._last_linear = linear[-1] if linear else None
        initialise(self)
        self._kernel_choices = [c.name for c in space.choices.values() if c.kind == "kernel"]

    def _make(self, node: Node) -> nn.Module | None:
        if not isinstance(node, Conv | Linear | Elementwise | LayerNorm):
            return None
        masked = node.name in self.plan.masked
        source = node.inputs[0]
        channels = (
            self.space.input_channels if source == INPUT else self.space.largest_shapes[source][0]
        )
        if isinstance(node, Conv):
            return SuperConv(node, channels, masked)
        if isinstance(node, Linear):
            return SuperLinear(node, channels, masked)
        if isinstance(node, LayerNorm):
            return SuperLayerNorm(node, channels)
        return SuperNorm(node, channels, masked) if node.norm else None

    def layer(self, name: str) -> nn.Module:
        """The layer of the node ``name``."""
        return self.layers[layer_key(name)]

    def forward(
        self, x: Tensor, assignment: Assignment | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Images (N, C, H, W) → outputs as `CompactNetwork.forward`; None: the largest network.

        Raises:
            ValueError: the batch cannot be divided into the assignment's groups.
        """
        batch = None if assignment is None else self._batch(x, assignment)
        tensors = {INPUT: x}
        for node in self.space.nodes:
            tensors[node.name] = self._run(node, [tensors[i] for i in node.inputs], batch)
        return join_outputs([tensors[name] for name in self.space.outputs])

    def _batch(self, x: Tensor, assignment: Assignment) -> Batch:
        groups = assignment.groups
        if len(x) % len(groups):
            raise ValueError(f"a batch of {len(x)} is not a multiple of {len(groups)} groups")
        kernels = {name: self._kernels(name, groups) for name in self._kernel_choices}
        like = next(self.parameters())
        return Batch(len(groups), self.plan(groups, like), assignment.statistics, kernels)

    def _kernels(self, name: str, groups: Sequence[Values]) -> list[int]:
        """One size per group; a removed unit takes its neighbour's and starts no run of its own."""
        sizes: list[int] = []
        for group in groups:
            dead = not self.space.live(name, group)
            sizes.append(sizes[-1] if dead and sizes else group[name])
        return sizes

    def _run(self, node: Node, inputs: list[Tensor], batch: Batch | None) -> Tensor:
        x = inputs[0]
        if layer_key(node.name) in self.layers:
            if self.training and self.dropout and node.name == self._last_linear:
                x = F.dropout(x, self.dropout)
            out: Tensor = self.layer(node.name)(x, batch)
            return out
        if isinstance(node, Bypass):
            return self._bypass(node, inputs, batch)
        y = weightless(node, inputs)
        if batch is not None and node.name in self.plan.masked:
            y = apply_mask(y, batch.masks.of(node.name))
        return y

    def _bypass(self, node: Bypass, inputs: list[Tensor], batch: Batch | None) -> Tensor:
        f, x = inputs
        if node.residual:
            return f + functional.fit_channels(x, node.filters)
        if batch is None:
            return f
        cut = functional.fit_channels(x, min(x.shape[1], node.filters))
        x = functional.bypass_pool(cut, node.stride)
        passing = 1 - batch.masks.of(node.inputs[0])[:, : x.shape[1]]
        return f + functional.fit_channels(apply_mask(x, passing), node.filters)


def weightless(node: Node, inputs: list[Tensor]) -> Tensor:
    """A node that has no weights, on the largest network's tensors."""
    x = inputs[0]
    match node:
        case Elementwise():
            return ACTIVATIONS[node.activation](x)
        case GlobalPool():
            return x.mean((2, 3), keepdim=True)
        case Multiply():
            return x * inputs[1]
        case Pool(type="avg_pool"):
            return functional.average_pool(
                x,
                node.kernel,
                node.stride,
                node.padding,
                ceil=node.ceil,
                count_padding=node.count_padding,
            )
        case Pool():
            return functional.max_pool(x, node.kernel, node.stride, node.padding, ceil=node.ceil)
        case Resize():
            size = (x.shape[2] * node.factor, x.shape[3] * node.factor)
            return functional.upsample(x, size, node.mode)
        case Slice():
            return x[:, node.start : node.stop]
        case ChannelShuffle():
            return functional.shuffle(x, node.groups)
        case Concat():
            return torch.cat(inputs, 1)
        case Flatten():
            return x.flatten(1)[:, :, None, None]
        case Add():
            width = max(tensor.shape[1] for tensor in inputs)
            total = functional.fit_channels(x, width)
            for tensor in inputs[1:]:
                total = total + functional.fit_channels(tensor, width)
            return ACTIVATIONS[node.activation](total)
        case _:
            raise NotImplementedError(type(node).__name__)
