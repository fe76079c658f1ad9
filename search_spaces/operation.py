"""One operation of a resolved network: every shape, stride and padding explicit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from search_spaces.errors import UserError

Shape = tuple[int, int, int]
"""(channels, height, width) of one image; a vector is (channels, 1, 1)."""

Range = tuple[int, int]
"""Channels start … stop − 1 of the same tensor in the largest network."""

OperationType = Literal[
    "conv",
    "linear",
    "batch_norm",
    "activation",
    "avg_pool",
    "max_pool",
    "global_avg_pool",
    "add",
    "multiply",
    "slice",
    "pad_channels",
    "concat",
    "resize",
    "flatten",
    "layer_norm",
    "channel_shuffle",
]

Activation = Literal[
    "none", "relu", "relu6", "hard_swish", "hard_sigmoid", "sigmoid", "silu", "gelu", "elu", "tanh"
]

ZERO_PRESERVING: frozenset[str] = frozenset(
    {"none", "relu", "relu6", "hard_swish", "silu", "gelu", "elu", "tanh"}
)
"""Activations with f(0) = 0: a channel that is zero before them is zero after them."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A resolved operation, as it is counted, looked up, built, written and drawn.

    Shapes are (channels, height, width) of one image. ``padding`` is (top, bottom, left,
    right). A convolution carries its normalisation (folded on a device) and its activation.
    ``groups`` equals the channels of the input for a depthwise convolution.
    """

    name: str
    type: OperationType
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    activation: Activation = "none"
    norm: bool = False
    norm_eps: float = 1e-5
    bias: bool = False
    dilation: tuple[int, int] = (1, 1)
    start: int = 0
    """slice: the first channel taken."""
    mode: str = ""
    """resize: ``nearest`` or ``bilinear``; pooling: ``ceil`` or ``floor``, ``+count_padding``;
    layer_norm: ``channels`` or ``all``; channel_shuffle: the number of groups."""
    node: str = ""
    """The node of the space's graph that this operation comes from."""

    @property
    def depthwise(self) -> bool:
        """True for a convolution with one input channel per filter and more than one group."""
        return self.type == "conv" and self.groups == self.input_shapes[0][0] > 1

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width that a window spans: the kernel with its dilation."""
        rows, columns = self.kernel
        return ((rows - 1) * self.dilation[0] + 1, (columns - 1) * self.dilation[1] + 1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image; only convolutions and linear layers count."""
        out_channels, height, width = self.output_shape
        in_channels = self.input_shapes[0][0]
        if self.type == "conv":
            kernel_area = self.kernel[0] * self.kernel[1]
            return out_channels * height * width * (in_channels // self.groups) * kernel_area
        if self.type == "linear":
            return in_channels * out_channels
        return 0

    @property
    def params(self) -> int:
        """Trainable parameters: weights, biases, and two per channel of a normalisation."""
        out_channels = self.output_shape[0]
        in_channels = self.input_shapes[0][0]
        count = out_channels * (int(self.bias) + 2 * int(self.norm))
        if self.type == "conv":
            kernel_area = self.kernel[0] * self.kernel[1]
            count += out_channels * (in_channels // self.groups) * kernel_area
        elif self.type == "linear":
            count += in_channels * out_channels
        return count

    def to_dict(self) -> dict[str, Any]:
        """The operation as plain JSON types, fields at their defaults left out."""
        data = asdict(self)
        return {f.name: data[f.name] for f in fields(self) if data[f.name] != f.default}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Operation:
        """The inverse of `to_dict`.

        Raises:
            UserError: a field is missing or unknown.
        """

        def frozen(value: Any) -> Any:
            return tuple(frozen(v) for v in value) if isinstance(value, list | tuple) else value

        try:
            return cls(**{key: frozen(value) for key, value in data.items()})
        except TypeError as error:
            raise UserError(f"not an operation: {error}") from None
