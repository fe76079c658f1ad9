"""The compact network: a description as a plain torch module, nothing masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import Network, Operation
from supernet import functional
from supernet.activations import ACTIVATIONS
from supernet.initialisation import Conv2d, Linear, initialise
from supernet.norms import LayerNormLayer


def layer_key(name: str) -> str:
    """The name of an operation as a key of a ModuleDict, which takes no dots."""
    return name.replace(".", "-")


class ConvLayer(nn.Module):
    """Convolution, normalisation where there is one, activation."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        channels = operation.input_shapes[0][0]
        self.conv = Conv2d(
            channels,
            operation.output_shape[0],
            operation.kernel,
            operation.stride,
            groups=operation.groups,
            dilation=operation.dilation,
            bias=operation.bias,
        )
        self.norm = (
            nn.BatchNorm2d(operation.output_shape[0], eps=operation.norm_eps)
            if operation.norm
            else None
        )
        self.activation = ACTIVATIONS[operation.activation]
        top, bottom, left, right = operation.padding
        self._uneven = None if (top, left) == (bottom, right) else (left, right, top, bottom)
        self.conv.padding = (0, 0) if self._uneven else (top, left)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, filters, H', W')."""
        if self._uneven is not None:
            x = F.pad(x, self._uneven)
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return self.activation(x)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution with its normalisation folded in."""
        weight = self.conv.weight.detach()
        bias = (
            self.conv.bias.detach() if self.conv.bias is not None else weight.new_zeros(len(weight))
        )
        if self.norm is None:
            return weight, bias
        assert self.norm.running_var is not None and self.norm.running_mean is not None
        scale = self.norm.weight.detach() / (self.norm.running_var + self.norm.eps).sqrt()
        bias = (bias - self.norm.running_mean) * scale + self.norm.bias.detach()
        return weight * scale[:, None, None, None], bias


class LinearLayer(nn.Module):
    """Fully connected layer on (N, C, 1, 1), with its activation."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        self.linear = Linear(
            operation.input_shapes[0][0], operation.output_shape[0], bias=operation.bias
        )
        self.activation = ACTIVATIONS[operation.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 1, 1) → (N, filters, 1, 1)."""
        return self.activation(self.linear(x.flatten(1)))[:, :, None, None]


class NormLayer(nn.Module):
    """A normalisation that follows no convolution, with its activation."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        self.norm = nn.BatchNorm2d(operation.output_shape[0], eps=operation.norm_eps)
        self.activation = ACTIVATIONS[operation.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        return self.activation(self.norm(x))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Scale and shift of every channel."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        return scale, norm.bias.detach() - norm.running_mean * scale


LAYERS: dict[str, Callable[[Operation], nn.Module]] = {
    "conv": ConvLayer,
    "linear": LinearLayer,
    "batch_norm": NormLayer,
    "layer_norm": LayerNormLayer,
}


def run_weightless(operation: Operation, inputs: list[Tensor]) -> Tensor:
    """An operation that has no weights, on its input tensors (N, C, H, W)."""
    x = inputs[0]
    match operation.type:
        case "activation":
            return ACTIVATIONS[operation.activation](x)
        case "avg_pool":
            return functional.average_pool(
                x,
                operation.kernel,
                operation.stride,
                operation.padding,
                ceil=operation.mode.startswith("ceil"),
                count_padding=operation.mode.endswith("+count_padding"),
            )
        case "max_pool":
            return functional.max_pool(
                x,
                operation.kernel,
                operation.stride,
                operation.padding,
                ceil=operation.mode.startswith("ceil"),
            )
        case "global_avg_pool":
            return x.mean((2, 3), keepdim=True)
        case "add":
            return ACTIVATIONS[operation.activation](x + inputs[1])
        case "multiply":
            return x * inputs[1]
        case "slice":
            return x[:, operation.start : operation.start + operation.output_shape[0]]
        case "pad_channels":
            return functional.fit_channels(x, operation.output_shape[0])
        case "channel_shuffle":
            return functional.shuffle(x, int(operation.mode))
        case "concat":
            return torch.cat(inputs, 1)
        case "resize":
            return functional.upsample(x, operation.output_shape[1:], operation.mode)
        case "flatten":
            return x.flatten(1)[:, :, None, None]
        case _:
            raise NotImplementedError(operation.type)


class CompactNetwork(nn.Module):
    """A network description as a module.

    Args:
        network: the description.
        dropout: probability of dropping an input of the last linear layer in training.
        initial: draw initial weights; without, they hold anything until they are loaded.
    """

    def __init__(self, network: Network, *, dropout: float = 0.0, initial: bool = True) -> None:
        super().__init__()
        self.network = network
        self.dropout = dropout
        self.layers = nn.ModuleDict(
            {
                layer_key(operation.name): LAYERS[operation.type](operation)
                for operation in network.operations
                if operation.type in LAYERS
            }
        )
        linear = [o.name for o in network.operations if o.type == "linear"]
        self._last_linear = linear[-1] if linear else None
        self._released = _last_uses(network)
        if initial:
            initialise(self)

    def layer(self, name: str) -> nn.Module:
        """The layer of the operation ``name``."""
        return self.layers[layer_key(name)]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Images (N, C, H, W) → (N, outputs) for a vector, (N, C, H, W) for a map.

        A network with several outputs returns a tuple of them.
        """
        tensors = {"input": x}
        for operation, released in zip(self.network.operations, self._released, strict=True):
            inputs = [tensors[name] for name in operation.inputs]
            if operation.type in LAYERS:
                if self.training and self.dropout and operation.name == self._last_linear:
                    inputs = [F.dropout(inputs[0], self.dropout)]
                tensors[operation.name] = self.layer(operation.name)(inputs[0])
            else:
                tensors[operation.name] = run_weightless(operation, inputs)
            for name in released:
                del tensors[name]
        return join_outputs([tensors[name] for name in self.network.outputs])


def join_outputs(outputs: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Vectors lose their two trailing ones; a single output stands alone."""
    shaped = tuple(o.flatten(1) if o.shape[2:] == (1, 1) else o for o in outputs)
    return shaped[0] if len(shaped) == 1 else shaped


def conv_layers(network: CompactNetwork) -> Iterator[tuple[str, ConvLayer]]:
    """Every convolution with its operation's name, in order."""
    for operation in network.network.operations:
        if operation.type == "conv":
            layer = network.layer(operation.name)
            assert isinstance(layer, ConvLayer)
            yield operation.name, layer


def _last_uses(network: Network) -> list[list[str]]:
    """For every operation the tensors that nothing after it reads."""
    seen = set(network.outputs)
    released = []
    for operation in reversed(network.operations):
        done = [name for name in dict.fromkeys(operation.inputs) if name not in seen]
        seen.update(done)
        released.append(done)
    return released[::-1]
