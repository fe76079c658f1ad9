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
from supernet.assignment import Assignment, Statistics
from supernet.compact import join_outputs, layer_key
from supernet.initialisation import initialise
from supernet.layers import (
    Batch,
    SuperConv,
    SuperLinear,
    SuperNorm,
    apply_mask,
    side,
)
from supernet.layout import apart, as_channels, as_positions, beside
from supernet.masks import MaskPlan, Masks
from supernet.norms import SuperLayerNorm


class Supernet(nn.Module):
    """Runs a batch in which every group of images has its own sub-network (ordered dropout).

    Channels that a sub-network lacks are zeroed (ordered dropout), so that each image
    sees what it would see in its extracted network. Yang et al., CVPR 2021, section 3.2.

    Args:
        space: the search space; the weights are those of its largest network.
        dropout: probability of dropping an input of the last linear layer in training.

    Attributes:
        beside: whether groups are computed side by side (`layout`); None where that is faster, on
            an accelerator. The results are the same.
    """

    def __init__(self, space: SearchSpace, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.space = space
        self.dropout = dropout
        self.beside: bool | None = None
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
        self.positions: Tensor
        self.columns: Tensor
        self.register_buffer("positions", self.plan.positions, persistent=False)
        self.register_buffer("columns", self.plan.columns, persistent=False)

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
        if assignment is None:
            return self._network(x, None)
        if len(x) % len(assignment.groups):
            raise ValueError(
                f"a batch of {len(x)} is not a multiple of {len(assignment.groups)} groups"
            )
        if self._beside(x, assignment):
            return self.run_table(x, self.table(assignment.groups), assignment.statistics)
        masks = self._masks(self.table(assignment.groups))
        kernels = {name: self._sizes(name, assignment.groups) for name in self._kernel_choices}
        groups, statistics = len(assignment.groups), assignment.statistics
        return self._network(x, Batch(groups, masks, statistics, kernels=kernels))

    def _beside(self, x: Tensor, assignment: Assignment) -> bool:
        if self.beside is not None:
            return self.beside
        # groups of one image would leave a batch of one, with very many channels
        return x.device.type != "cpu" and len(assignment.groups) < len(x)

    def table(self, groups: Sequence[Values]) -> Tensor:
        """What tells sub-networks apart: widths and kernel sizes, a row a group, on the device."""
        rows = [[*self.plan.widths(g), *(g[name] for name in self._kernel_choices)] for g in groups]
        device = self.positions.device
        if device.type == "cpu":
            return torch.tensor(rows)
        # from pinned memory a copy waits for nothing
        return torch.tensor(rows, pin_memory=True).to(device, non_blocking=True)

    def run_table(
        self, x: Tensor, table: Tensor, statistics: Statistics
    ) -> Tensor | tuple[Tensor, ...]:
        """`forward` with groups side by side, on nothing but tensors of the same shapes every step.

        Args:
            x: images (N, C, H, W).
            table: of the groups, by `table`.
            statistics: of the `Assignment`.
        """
        first = table.shape[1] - len(self._kernel_choices)
        kernels = {name: table[:, first + i] for i, name in enumerate(self._kernel_choices)}
        batch = Batch(len(table), self._masks(table), statistics, beside=True, kernels=kernels)
        return self._network(x, batch)

    def _masks(self, table: Tensor) -> Masks:
        kept = self.positions < table[:, self.columns]
        return Masks(self.plan, kept.to(next(self.parameters()).dtype))

    def _sizes(self, name: str, groups: Sequence[Values]) -> list[int]:
        """One size per group; a removed unit takes its neighbour's and starts no run of its own."""
        sizes: list[int] = []
        for group in groups:
            dead = not self.space.live(name, group)
            sizes.append(sizes[-1] if dead and sizes else group[name])
        return sizes

    def _network(self, x: Tensor, batch: Batch | None) -> Tensor | tuple[Tensor, ...]:
        groups = side(batch)
        tensors = {INPUT: beside(x, groups)}
        for node in self.space.nodes:
            tensors[node.name] = self._run(node, [tensors[i] for i in node.inputs], batch)
        return join_outputs([apart(tensors[name], groups) for name in self.space.outputs])

    def _run(self, node: Node, inputs: list[Tensor], batch: Batch | None) -> Tensor:
        x = inputs[0]
        if layer_key(node.name) in self.layers:
            if self.training and self.dropout and node.name == self._last_linear:
                x = F.dropout(x, self.dropout)
            out: Tensor = self.layer(node.name)(x, batch)
            return out
        if isinstance(node, Bypass):
            return self._bypass(node, inputs, batch)
        y = weightless(node, inputs, side(batch))
        if batch is not None and node.name in self.plan.masked:
            y = apply_mask(y, batch.masks.of(node.name), batch)
        return y

    def _bypass(self, node: Bypass, inputs: list[Tensor], batch: Batch | None) -> Tensor:
        f, x = inputs
        groups = side(batch)
        if node.residual:
            return f + fit_channels(x, node.filters, groups)
        if batch is None:
            return f
        cut = fit_channels(x, min(x.shape[1] // groups, node.filters), groups)
        x = functional.bypass_pool(cut, node.stride)
        passing = 1 - batch.masks.of(node.inputs[0])[:, : x.shape[1] // groups]
        return f + fit_channels(apply_mask(x, passing, batch), node.filters, groups)


def fit_channels(x: Tensor, channels: int, groups: int) -> Tensor:
    """(n, G·C, H, W) → (n, G·``channels``, H, W): cut, or extended by zeros, group by group."""
    if x.shape[1] == channels * groups:
        return x
    return as_channels(functional.fit_channels(as_positions(x, groups), channels), groups)


def weightless(node: Node, inputs: list[Tensor], groups: int) -> Tensor:
    """A node that has no weights, on the largest network's tensors (n, G·C, H, W)."""
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
            return as_channels(as_positions(x, groups)[:, node.start : node.stop], groups)
        case ChannelShuffle():
            return as_channels(functional.shuffle(as_positions(x, groups), node.groups), groups)
        case Concat():
            return as_channels(torch.cat([as_positions(x, groups) for x in inputs], 1), groups)
        case Flatten():
            return beside(apart(x, groups).flatten(1)[:, :, None, None], groups)
        case Add():
            width = max(tensor.shape[1] for tensor in inputs) // groups
            total = fit_channels(x, width, groups)
            for tensor in inputs[1:]:
                total = total + fit_channels(tensor, width, groups)
            return ACTIVATIONS[node.activation](total)
        case _:
            raise NotImplementedError(type(node).__name__)
