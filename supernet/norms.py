"""Layer normalisation over the channels that a sub-network keeps, masked and compact alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces import Operation
from search_spaces.norms import LayerNorm
from supernet.layers import Batch, per_image, side
from supernet.layout import apart, beside


class ChannelNorm(nn.Module):
    """Gains and shifts of every channel, and the normalisation before them."""

    def __init__(self, channels: int, eps: float, over: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps
        self.axes = (1,) if over == "channels" else (1, 2, 3)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """(N, C, H, W) → the same shape; ``kept`` (N, C, 1, 1) are the channels that count."""
        if kept is None:
            centred = x - x.mean(self.axes, keepdim=True)
            variance = (centred * centred).mean(self.axes, keepdim=True)
        else:
            # a removed unit keeps none
            share = (kept.sum(1, keepdim=True) / x.shape[1]).clamp_min(1 / x.shape[1])
            centred = (x - (x * kept).mean(self.axes, keepdim=True) / share) * kept
            variance = (centred * centred).mean(self.axes, keepdim=True) / share
        y = centred * torch.rsqrt(variance + self.eps)
        y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y if kept is None else y * kept


class LayerNormLayer(nn.Module):
    """A layer normalisation of a compact network."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        self.norm = ChannelNorm(operation.output_shape[0], operation.norm_eps, operation.mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        out: Tensor = self.norm(x)
        return out

    def folded(self) -> tuple[Tensor, Tensor]:
        """Gain and shift of every channel."""
        return self.norm.weight.detach(), self.norm.bias.detach()


class SuperLayerNorm(nn.Module):
    """A layer normalisation of the super-network; what an image lacks does not count."""

    def __init__(self, node: LayerNorm, channels: int) -> None:
        super().__init__()
        self.node = node
        self.norm = ChannelNorm(channels, node.eps, node.over)

    def forward(self, x: Tensor, batch: Batch | None) -> Tensor:
        """A tensor of this pass → the same shape, dropped channels zero."""
        if batch is None:
            out: Tensor = self.norm(x)
        else:
            images = apart(x, side(batch))
            kept = per_image(batch.masks.of(self.node.name), len(images)).to(x.dtype)
            out = beside(self.norm(images, kept[:, :, None, None]), side(batch))
        return out
