"""Initial weights, the same for the super-network and for a network trained alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from supernet.depthwise import conv2d


class Conv2d(nn.Conv2d):
    """A convolution whose weights are allocated and left to `initialise` or to a copy."""

    def reset_parameters(self) -> None:
        """Nothing: a compact network is built for every candidate of a search."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        assert not isinstance(padding, str)
        return conv2d(input, weight, bias, self.stride, padding, self.groups, self.dilation)  # type: ignore[arg-type]


class Linear(nn.Linear):
    """A fully connected layer whose weights are left to `initialise` or to a copy."""

    def reset_parameters(self) -> None:
        """Nothing, as `Conv2d.reset_parameters`."""


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Draw all weights in place, as timm does for MobileNets.

    Convolutions are normal with variance 2 / fan-out (He et al., ICCV 2015), linear layers
    uniform within ±1/√(fan-in + fan-out), biases zero, normalisations the identity.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[0, 0].numel() * layer.out_channels // layer.groups
            layer.weight.normal_(0, math.sqrt(2 / fan_out))
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features + layer.out_features)
            layer.weight.uniform_(-bound, bound)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            layer.bias.zero_()
