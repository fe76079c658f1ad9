"""Quantization-aware fine-tuning: a network that rounds as its int8 file will.

The scheme is that of `lut.tflite.quantize` (Jacob et al., CVPR 2018): normalisation is folded,
weights are rounded symmetrically with a scale a filter, activations asymmetrically with one a
tensor, gradients pass straight through. What is left out: tensors that the file puts on one
scale (those of a concatenation, say) are rounded each on its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import Operation
from supernet.activations import ACTIVATIONS
from supernet.compact import (
    CompactNetwork,
    ConvLayer,
    LinearLayer,
    NormLayer,
    join_outputs,
    layer_key,
    run_weightless,
)

FUSED = ("none", "relu", "relu6")
"""Activations inside an operator of the file: what is before them is never rounded."""

COPYING = frozenset({"slice", "pad_channels", "concat", "max_pool", "avg_pool", "flatten"}) | {
    "channel_shuffle"
}
"""Operations whose outputs are on the scale of their inputs."""

HARD_SWISH_FLOOR = -3.0
"""Hard-swish makes 0 of everything below."""


class FakeQuantized(nn.Module):
    """A trained network whose weights and activations are rounded as in its int8 file.

    Args:
        network: trained; it is left as it is.
        images: batches (N, C, H, W) of normalised training images, for the ranges of the
            activations, which then stay.
    """

    def __init__(self, network: CompactNetwork, images: Sequence[Tensor]) -> None:
        super().__init__()
        self.network = network.network
        self.weights = nn.ParameterDict()
        for operation in self.network.operations:
            key = layer_key(operation.name)
            shifted = operation.bias or operation.norm or operation.type == "batch_norm"
            for name, value in _parameters(network, operation).items():
                self.weights[f"{key}/{name}"] = nn.Parameter(
                    value.detach().clone(), requires_grad=name == "weight" or shifted
                )
        points = ["input"]
        for operation in self.network.operations:
            points += [f"{operation.name}/before", f"{operation.name}/out"]
        self._points = {name: i for i, name in enumerate(points)}
        self.ranges: Tensor
        self.register_buffer("ranges", torch.zeros(len(points), 2))
        self._observing = True
        with torch.no_grad():
            self.to(next(network.parameters()).device)
            for batch in images:
                self(batch.to(self.ranges.device))
        self._observing = False

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """As `CompactNetwork.forward`."""
        tensors = {"input": self._rounded("input", x)}
        for operation in self.network.operations:
            inputs = [tensors[name] for name in operation.inputs]
            tensors[operation.name] = self._operation(operation, inputs)
        return join_outputs([tensors[name] for name in self.network.outputs])

    def _operation(self, operation: Operation, inputs: list[Tensor]) -> Tensor:
        if operation.type not in ("conv", "linear", "batch_norm"):
            out = run_weightless(operation, inputs)
            return out if operation.type in COPYING else self._rounded(f"{operation.name}/out", out)
        key = layer_key(operation.name)
        weight, bias = self.weights[f"{key}/weight"], self.weights[f"{key}/bias"]
        if operation.type == "batch_norm":
            x = inputs[0] * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
        elif operation.type == "linear":
            x = F.linear(inputs[0].flatten(1), _rounded_weight(weight), bias)[:, :, None, None]
        else:
            top, bottom, left, right = operation.padding
            x = (
                F.pad(inputs[0], (left, right, top, bottom))
                if any(operation.padding)
                else inputs[0]
            )
            x = F.conv2d(
                x,
                _rounded_weight(weight),
                bias,
                operation.stride,
                0,
                operation.dilation,
                operation.groups,
            )
        return self._activated(operation, x)

    def _activated(self, operation: Operation, x: Tensor) -> Tensor:
        kind = operation.activation
        if kind == "hard_sigmoid":  # the file's operator ends with relu6(x + 3)
            x = self._rounded(f"{operation.name}/before", F.relu6(x + 3)) / 6
        else:
            if kind not in FUSED:
                floor = HARD_SWISH_FLOOR if kind == "hard_swish" else None
                x = self._rounded(f"{operation.name}/before", x, floor)
            x = ACTIVATIONS[kind](x)
        return self._rounded(f"{operation.name}/out", x)

    def _rounded(self, point: str, x: Tensor, floor: float | None = None) -> Tensor:
        """Values as int8 holds them, in the range that the calibration saw."""
        low, high = self.ranges[self._points[point]]
        if self._observing:
            low.copy_(torch.minimum(low, x.min()))
            high.copy_(torch.maximum(high, x.max()))
            return x
        if floor is not None:
            low = low.clamp_min(floor)
        scale = ((high - low) / 255).clamp_min(1e-8)
        zero = (-128 - low / scale).round().clamp(-128, 127).int()
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, -128, 127)

    @torch.no_grad()
    def store(self, network: CompactNetwork) -> None:
        """Put the weights back into the network that this one was made from.

        A folded normalisation becomes the identity with a bias (mean 0, variance 1 − eps, scale
        1), so that weights, files and exports are those of every other network.
        """
        for operation in network.network.operations:
            if operation.type not in ("conv", "linear", "batch_norm"):
                continue
            key, layer = layer_key(operation.name), network.layer(operation.name)
            weight, bias = self.weights[f"{key}/weight"], self.weights[f"{key}/bias"]
            if isinstance(layer, LinearLayer):
                _copy(layer.linear, weight, bias)
            elif isinstance(layer, NormLayer):
                _identity(layer.norm, weight, bias)
            elif isinstance(layer, ConvLayer):
                if layer.norm is None:
                    _copy(layer.conv, weight, bias)
                    continue
                _copy(layer.conv, weight, torch.zeros_like(bias))
                _identity(layer.norm, torch.ones_like(bias), bias)


def _parameters(network: CompactNetwork, operation: Operation) -> dict[str, Tensor]:
    """Weight and bias of an operation, normalisation folded in; empty where it has none."""
    if operation.type not in ("conv", "linear", "batch_norm"):
        return {}
    layer = network.layer(operation.name)
    if isinstance(layer, ConvLayer):
        weight, bias = layer.folded()
    elif isinstance(layer, LinearLayer):
        weight = layer.linear.weight
        given: Tensor | None = layer.linear.bias
        bias = weight.new_zeros(len(weight)) if given is None else given
    else:
        assert isinstance(layer, NormLayer)
        weight, bias = layer.folded()
    return {"weight": weight, "bias": bias}


def _rounded_weight(weight: Tensor) -> Tensor:
    """Weights as int8 holds them, one scale a filter (the first axis)."""
    scale = weight.detach().flatten(1).abs().amax(1).clamp_min(1e-8) / 127
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def _copy(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    if layer.bias is not None:
        layer.bias.copy_(bias)


def _identity(norm: nn.BatchNorm2d, scale: Tensor, shift: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.copy_(scale)
    norm.bias.copy_(shift)
