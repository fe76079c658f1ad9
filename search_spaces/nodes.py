"""The nodes of a space's graph: operations whose widths and kernels are functions of choices.

``Node.lower`` turns one node into resolved operations from nothing but its input tensors and
the choices' values. It is local, so a whole description is the concatenation over nodes, and a
batch of architectures can be priced node by node (`batch.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from search_spaces.choices import Values, Width
from search_spaces.errors import UserError
from search_spaces.operation import Activation, Operation, Range, Shape

Lowering = Literal["concat", "pad"]
"""How unequal widths meet on a device: slice + add + concat, or pad with zeros + add."""


class Tensor(NamedTuple):
    """A tensor of a resolved network; ``kept`` are its channels in the largest network."""

    name: str
    shape: Shape
    kept: tuple[Range, ...]

    @property
    def channels(self) -> int:
        """The number of channels."""
        return self.shape[0]


Inputs = Sequence[Tensor | None]
"""The input tensors of a node, None where the unit that makes one is removed."""

Lowered = tuple[tuple[Operation, ...], Tensor | None]
"""The operations of a node and the tensor it leaves, None where it is removed."""

REMOVED: Lowered = ((), None)


def prefix(channels: int) -> tuple[Range, ...]:
    """The first ``channels`` channels."""
    return ((0, channels),)


def first(ranges: Sequence[Range], channels: int) -> tuple[Range, ...]:
    """The first ``channels`` channels of these ranges."""
    taken: list[Range] = []
    for start, stop in ranges:
        if channels > 0:
            taken.append((start, min(stop, start + channels)))
            channels -= stop - start
    return tuple(taken)


def _present(inputs: Inputs) -> Tensor:
    tensor = inputs[0]
    assert tensor is not None
    return tensor


def conv_size(size: int, kernel: int, stride: int, padding: int, *, ceil: bool = False) -> int:
    """Output size of a convolution or pooling; ``padding`` is the sum of both sides.

    With ``ceil`` the last window may hang over the end but must start inside (torch's rule).
    """
    span = size + padding - kernel
    if not ceil:
        return span // stride + 1
    out = -(-span // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding // 2 else out


@dataclass(frozen=True, kw_only=True)
class Node:
    """A named node; ``requires`` names the width choice whose 0 removes it."""

    name: str
    inputs: tuple[str, ...]
    requires: str | None = None

    def removed(self, values: Values) -> bool:
        """True where the unit of this node has no filters."""
        return self.requires is not None and values[self.requires] == 0

    def choices(self) -> tuple[str, ...]:
        """The choices this node reads."""
        return (self.requires,) if self.requires is not None else ()

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        """The resolved operations of this node and its output."""
        raise NotImplementedError

    def operation(self, x: Tensor, shape: Shape, **fields: object) -> Operation:
        """An operation of this node's name and activation on one input."""
        given: dict[str, Any] = {
            "name": self.name,
            "type": "activation",
            "inputs": (x.name,),
            "input_shapes": (x.shape,),
            "output_shape": shape,
            "node": self.name,
        }
        return Operation(**{**given, **fields})


@dataclass(frozen=True, kw_only=True)
class Conv(Node):
    """A convolution with its normalisation and activation.

    ``padding`` belongs to the largest kernel; a smaller kernel is its centre and pads less.
    ``group_width`` is the input channels per group: 0 one group, 1 depthwise.
    """

    filters: Width
    kernel: tuple[int, int] = (1, 1)
    kernel_choice: str | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    group_width: int = 0
    dilation: tuple[int, int] = (1, 1)
    activation: Activation = "none"
    norm: bool = True
    norm_eps: float = 1e-5
    bias: bool = False

    def choices(self) -> tuple[str, ...]:
        extra = (self.filters.choice, self.kernel_choice)
        return Node.choices(self) + tuple(c for c in extra if c is not None)

    def kernel_of(self, values: Values) -> tuple[int, int]:
        """The kernel (height, width) in the network with these values."""
        if self.kernel_choice is None:
            return self.kernel
        size = values[self.kernel_choice]
        return (size, size)

    def padding_for(self, kernel: tuple[int, int]) -> tuple[int, int, int, int]:
        """The padding that keeps a smaller, centred kernel on the same positions."""
        rows = (self.kernel[0] - kernel[0]) // 2 * self.dilation[0]
        columns = (self.kernel[1] - kernel[1]) // 2 * self.dilation[1]
        top, bottom, left, right = self.padding
        return (top - rows, bottom - rows, left - columns, right - columns)

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        kernel = self.kernel_of(values)
        padding = self.padding_for(kernel)
        rows, columns = ((k - 1) * d + 1 for k, d in zip(kernel, self.dilation, strict=True))
        height = conv_size(x.shape[1], rows, self.stride[0], padding[0] + padding[1])
        width = conv_size(x.shape[2], columns, self.stride[1], padding[2] + padding[3])
        depthwise = self.group_width == 1
        if self.group_width > 1:
            self._check_groups(x, self.filters.of(values))
        # a depthwise layer follows its input, whatever that really holds
        filters = x.channels if depthwise else self.filters.of(values)
        out = Tensor(self.name, (filters, height, width), x.kept if depthwise else prefix(filters))
        operation = self.operation(
            x,
            out.shape,
            type="conv",
            kernel=kernel,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=x.channels // self.group_width if self.group_width else 1,
            activation=self.activation,
            norm=self.norm,
            norm_eps=self.norm_eps,
            bias=self.bias,
        )
        return (operation,), out

    def _check_groups(self, x: Tensor, filters: int) -> None:
        """Groups come and go as a whole, from the last one on, on both sides alike."""
        if x.kept != prefix(x.channels) or x.channels % self.group_width:
            raise UserError(f"{self.name}: its input drops channels that are no last whole groups")
        if filters % (x.channels // self.group_width):
            raise UserError(
                f"{self.name}: {filters} filters are not a multiple of its "
                f"{x.channels // self.group_width} groups; tie its width to its input's"
            )


@dataclass(frozen=True, kw_only=True)
class Linear(Node):
    """A fully connected layer on a vector, with an optional activation."""

    filters: Width
    activation: Activation = "none"
    bias: bool = True

    def choices(self) -> tuple[str, ...]:
        own = (self.filters.choice,) if self.filters.choice is not None else ()
        return Node.choices(self) + own

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        filters = self.filters.of(values)
        operation = self.operation(
            x, (filters, 1, 1), type="linear", activation=self.activation, bias=self.bias
        )
        return (operation,), Tensor(self.name, (filters, 1, 1), prefix(filters))


@dataclass(frozen=True, kw_only=True)
class Elementwise(Node):
    """An activation, or a normalisation that follows no convolution (with its activation)."""

    activation: Activation = "none"
    norm: bool = False
    norm_eps: float = 1e-5

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        operation = self.operation(
            x,
            x.shape,
            type="batch_norm" if self.norm else "activation",
            activation=self.activation,
            norm=self.norm,
            norm_eps=self.norm_eps,
        )
        return (operation,), x._replace(name=self.name)


@dataclass(frozen=True, kw_only=True)
class Pool(Node):
    """Average or maximum pooling over windows."""

    type: Literal["avg_pool", "max_pool"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil: bool = False
    count_padding: bool = False

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        top, bottom, left, right = self.padding
        sizes = ((x.shape[1], 0, top + bottom), (x.shape[2], 1, left + right))
        height, width = (
            conv_size(size, self.kernel[axis], self.stride[axis], padding, ceil=self.ceil)
            for size, axis, padding in sizes
        )
        out = Tensor(self.name, (x.channels, height, width), x.kept)
        operation = self.operation(
            x,
            out.shape,
            type=self.type,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            mode=("ceil" if self.ceil else "floor") + ("+count_padding" * self.count_padding),
        )
        return (operation,), out


@dataclass(frozen=True, kw_only=True)
class GlobalPool(Node):
    """The average over all positions."""

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        out = Tensor(self.name, (x.channels, 1, 1), x.kept)
        operation = self.operation(x, out.shape, type="global_avg_pool", kernel=x.shape[1:])
        return (operation,), out


@dataclass(frozen=True, kw_only=True)
class Resize(Node):
    """Upsampling by a whole factor."""

    factor: int = 2
    mode: Literal["nearest", "bilinear"] = "nearest"

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        shape = (x.channels, x.shape[1] * self.factor, x.shape[2] * self.factor)
        operation = self.operation(x, shape, type="resize", mode=self.mode)
        return (operation,), Tensor(self.name, shape, x.kept)


@dataclass(frozen=True, kw_only=True)
class Flatten(Node):
    """Channels and positions become one vector, channel by channel (torch's order)."""

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values) or inputs[0] is None:
            return REMOVED
        x = _present(inputs)
        area = x.shape[1] * x.shape[2]
        kept = tuple((start * area, stop * area) for start, stop in x.kept)
        out = Tensor(self.name, (x.channels * area, 1, 1), kept)
        return (self.operation(x, out.shape, type="flatten"),), out


@dataclass(frozen=True, kw_only=True)
class Multiply(Node):
    """A map times a gate per channel (squeeze-and-excite); equal widths."""

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        x, gate = inputs
        if self.removed(values) or x is None or gate is None:
            return REMOVED
        operation = self.operation(
            x,
            x.shape,
            type="multiply",
            inputs=(x.name, gate.name),
            input_shapes=(x.shape, gate.shape),
        )
        return (operation,), x._replace(name=self.name)
