"""What an operation is to a table: a family, and the widths by which its members differ."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from search_spaces import Operation, UserError

Widths = tuple[int, ...]
"""The channel counts by which the operations of a family differ, see `signature`."""

Size = tuple[int, int]

FUSED = frozenset({"none", "relu", "relu6"})
"""Activations that TFLite folds into the operation before them at no cost."""

_FUSING = frozenset({"conv", "linear", "batch_norm", "add", "multiply"})


@dataclass(frozen=True, slots=True)
class Family:
    """Operations that differ in their widths only.

    ``sizes`` are (height, width) of every input, then of the output. ``groups`` is ``dense``,
    ``depthwise`` or the number of groups. ``activation`` is ``fused`` for none, relu and relu6
    where the runtime folds them. Precision and lowering belong to the table and to the type.
    """

    type: str
    sizes: tuple[Size, ...]
    kernel: Size = (1, 1)
    stride: Size = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: str = "dense"
    dilation: Size = (1, 1)
    activation: str = "fused"
    mode: str = ""

    def __str__(self) -> str:
        height, width = self.sizes[0]
        text = f"{self.type} at {height}x{width}"
        if self.groups != "dense":
            text = f"{self.groups} {text}"
        if self.kernel != (1, 1):
            text += f", kernel {self.kernel[0]}x{self.kernel[1]}"
        if self.stride != (1, 1):
            text += f", stride {self.stride[0]}"
        if self.dilation != (1, 1):
            text += f", dilation {self.dilation[0]}"
        if self.activation != "fused":
            text += f", {self.activation}"
        return text + (f", {self.mode}" if self.mode else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, defaults left out."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f.name: data[f.name] for f in fields(self) if data[f.name] != f.default}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Family:
        """The inverse of `to_dict`.

        Raises:
            UserError: a field is missing, unknown or malformed.
        """
        try:
            known = dict(data)
            for name in ("kernel", "stride", "padding", "dilation"):
                if name in known:
                    known[name] = tuple(int(v) for v in known[name])
            known["sizes"] = tuple((int(h), int(w)) for h, w in known["sizes"])
            return cls(**known)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"not a family of operations: {error!r}") from None


@lru_cache(maxsize=1 << 16)
def signature(operation: Operation) -> tuple[Family, Widths]:
    """The family of an operation and its widths.

    Widths are (inputs, outputs) of a convolution and a linear layer; (channels kept, channels
    left out) of a slice; (channels, channels added) of a channel pad; (channels of each input)
    of a concatenation; (channels) of everything else. Normalisation
    and bias are folded on a device and do not count; nor does where a slice starts.
    """
    shapes = operation.input_shapes
    sizes = (*(shape[1:] for shape in shapes), operation.output_shape[1:])
    c_in, c_out = shapes[0][0], operation.output_shape[0]
    groups = "dense"
    widths: Widths
    if operation.depthwise and c_in == c_out:
        groups, widths = "depthwise", (c_in,)
    elif operation.type in {"conv", "linear"}:
        groups = "dense" if operation.groups == 1 else str(operation.groups)
        widths = (c_in, c_out)
    elif operation.type == "slice":
        widths = (c_out, c_in - c_out)
    elif operation.type == "pad_channels":
        widths = (c_in, c_out - c_in)
    elif operation.type == "concat":
        widths = tuple(shape[0] for shape in shapes)
    else:
        widths = (c_in,)
    activation: str = operation.activation
    if activation in FUSED and (operation.type in _FUSING or activation == "none"):
        activation = "fused"
    family = Family(
        type=operation.type,
        sizes=sizes,
        kernel=operation.kernel,
        stride=operation.stride,
        padding=operation.padding,
        groups=groups,
        dilation=operation.dilation,
        activation=activation,
        mode=operation.mode,
    )
    return family, widths


def operation_of(family: Family, widths: Widths) -> Operation:
    """An operation with this signature, to be measured; the inverse of `signature`."""
    sizes = family.sizes
    channels = [widths[0]] * (len(sizes) - 1)
    c_out = widths[0]
    start = 0
    if family.groups != "depthwise" and family.type in {"conv", "linear"}:
        c_out = widths[1]
    elif family.type == "slice":
        channels, c_out, start = [sum(widths)], widths[0], widths[1]
    elif family.type == "pad_channels":
        c_out = sum(widths)
    elif family.type == "concat":
        channels, c_out = list(widths), sum(widths)
    elif family.type == "flatten":
        c_out = widths[0] * sizes[0][0] * sizes[0][1]
    groups = {"dense": 1, "depthwise": widths[0]}.get(family.groups)
    shapes = tuple((c, *size) for c, size in zip(channels, sizes, strict=False))
    return Operation(
        name="operation",
        type=family.type,  # type: ignore[arg-type]
        inputs=tuple(f"input{i}" for i in range(len(shapes))),
        input_shapes=shapes,
        output_shape=(c_out, *sizes[-1]),
        kernel=family.kernel,
        stride=family.stride,
        padding=family.padding,
        dilation=family.dilation,
        groups=groups if groups is not None else int(family.groups),
        activation="none" if family.activation == "fused" else family.activation,  # type: ignore[arg-type]
        start=start,
        mode=family.mode,
    )
