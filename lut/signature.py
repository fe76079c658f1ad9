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
            for name in ("kernel", "stride", "padding"):
                if name in known:
                    known[name] = tuple(int(v) for v in known[name])
            known["sizes"] = tuple((int(h), int(w)) for h, w in known["sizes"])
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not a family of operations: {error!r}") from None


@lru_cache(maxsize=1 << 16)
def signature(operation: Operation) -> tuple[Family, Widths]:
    """The family of an operation and its widths.

    Widths are (inputs, outputs) of a convolution, a linear layer, a slice and a channel pad;
    (channels of each input) of a concatenation; (channels) of everything else. Normalisation
    and bias are folded on a device and do not count; nor does where a slice starts.
    """
    shapes = operation.input_shapes
    sizes = (*(shape[1:] for shape in shapes), operation.output_shape[1:])
    c_in, c_out = shapes[0][0], operation.output_shape[0]
    groups = "dense"
    widths: Widths
    if operation.depthwise and c_in == c_out:
        groups, widths = "depthwise", (c_in,)
    elif operation.type in {"conv", "linear", "slice", "pad_channels"}:
        groups = "dense" if operation.groups == 1 else str(operation.groups)
        widths = (c_in, c_out)
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
        activation=activation,
        mode=operation.mode,
    )
    return family, widths
