"""Nodes where tensors meet: concatenation, sums of unequal width, channel-level bypass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from search_spaces.choices import Values
from search_spaces.errors import UserError
from search_spaces.nodes import REMOVED, Inputs, Lowered, Lowering, Node, Tensor, first, prefix
from search_spaces.operation import Activation, Operation, Range


@dataclass(frozen=True, kw_only=True)
class Concat(Node):
    """Channels one after the other; ``maxima`` are the inputs' widths in the largest network.

    A last part that alone is left still gets a tensor of its own, since its channels stand
    elsewhere in the largest network than for other readers of that part.
    """

    maxima: tuple[int, ...]

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        kept: list[Range] = []
        offset = 0
        for tensor, maximum in zip(inputs, self.maxima, strict=True):
            if tensor is not None:
                for start, stop in tensor.kept:
                    # ranges that touch are one, so that a whole concatenation is a plain prefix
                    joined = bool(kept) and kept[-1][1] == start + offset
                    kept.append((kept.pop()[0] if joined else start + offset, stop + offset))
            offset += maximum
        present = [tensor for tensor in inputs if tensor is not None]
        if self.removed(values) or not present:
            return REMOVED
        if len(present) == 1 and tuple(kept) == present[0].kept:
            return (), present[0]
        operation, out = concat(self.name, present, node=self.name)
        return (operation,), out._replace(kept=tuple(kept))


@dataclass(frozen=True, kw_only=True)
class Add(Node):
    """A sum; tensors of unequal width add their common channels, the others pass."""

    activation: Activation = "none"

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        if self.removed(values):
            return REMOVED
        present = [tensor for tensor in inputs if tensor is not None]
        if not present:
            return REMOVED
        operations: list[Operation] = []
        total = present[0]
        for i, tensor in enumerate(present[1:]):
            last = i == len(present) - 2
            name = self.name if last else f"{self.name}.{i}"
            added, total = meet(name, self.name, total, tensor, lowering)
            operations += added
        if self.activation != "none":
            if len(present) > 1 and operations[-1].type == "add":
                operations[-1] = replace(operations[-1], activation=self.activation)
            else:
                name = f"{self.name}.activation"
                operations.append(
                    self.operation(total, total.shape, name=name, activation=self.activation)
                )
                total = total._replace(name=name)
        return tuple(operations), total


@dataclass(frozen=True, kw_only=True)
class Bypass(Node):
    """The end of a unit with a channel-level bypass connection (CBC).

    Yang et al., "NetAdaptV2", CVPR 2021, "Channel-Level Bypass Connections".

    Inputs are f (None at M = 0) and x. ``filters`` is T. ``residual`` says whether the unit is
    residual in the largest network: y_i = [i < M] f_i + x'_i; otherwise
    y_i = [i < M] f_i + [i ≥ M] x'_i; x' is x, average-pooled over ``stride`` (ceil mode,
    padding not counted), cut or zero-extended to T. The output has max(min(C, T), M) channels.
    """

    filters: int
    stride: int
    residual: bool

    def lower(self, inputs: Inputs, values: Values, lowering: Lowering) -> Lowered:
        f, x = inputs
        assert x is not None
        if x.kept != prefix(x.channels):
            raise UserError(f"{self.name}: a bypass around a concatenation of searched widths")
        bypassed = min(x.channels, self.filters)
        operations: list[Operation] = []
        if self.residual:
            if bypassed < x.channels:
                x = cut(f"{self.name}.cut", self.name, x, 0, bypassed, operations)
            if f is None:
                return tuple(operations), x
            added, out = meet(self.name, self.name, f, x, lowering)
            return (*operations, *added), out
        start = f.channels if f is not None else 0
        if f is not None and start >= bypassed:
            return (), f
        # slicing before pooling pools only what passes
        if (start, bypassed) != (0, x.channels):
            x = cut(f"{self.name}.cut", self.name, x, start, bypassed, operations)
        if self.stride > 1:
            height, width = (math.ceil(size / self.stride) for size in x.shape[1:])
            pooled = self.operation(
                x,
                (x.channels, height, width),
                name=f"{self.name}.pool",
                type="avg_pool",
                kernel=(self.stride, self.stride),
                stride=(self.stride, self.stride),
                mode="ceil",
            )
            operations.append(pooled)
            x = Tensor(pooled.name, pooled.output_shape, x.kept)
        if f is None:
            return tuple(operations), x
        operation, out = concat(self.name, (f, x), node=self.name)
        return (*operations, operation), out._replace(kept=prefix(out.channels))


def concat(name: str, parts: Sequence[Tensor], *, node: str) -> tuple[Operation, Tensor]:
    """The parts' channels one after the other."""
    shape = (sum(part.channels for part in parts), *parts[0].shape[1:])
    operation = Operation(
        name=name,
        type="concat",
        inputs=tuple(part.name for part in parts),
        input_shapes=tuple(part.shape for part in parts),
        output_shape=shape,
        node=node,
    )
    return operation, Tensor(name, shape, prefix(shape[0]))


def cut(
    name: str, node: str, x: Tensor, start: int, stop: int, operations: list[Operation]
) -> Tensor:
    """Append the slice of channels start … stop − 1 and return it."""
    shape = (stop - start, *x.shape[1:])
    operations.append(
        Operation(
            name=name,
            type="slice",
            inputs=(x.name,),
            input_shapes=(x.shape,),
            output_shape=shape,
            start=start,
            node=node,
        )
    )
    return Tensor(name, shape, prefix(shape[0]))


def meet(
    name: str, node: str, a: Tensor, b: Tensor, lowering: Lowering
) -> tuple[tuple[Operation, ...], Tensor]:
    """a + b where the widths may differ: common channels are added, the others pass.

    Raises:
        UserError: the two hold different channels of the largest network (a concatenation of
            searched widths and something not tied to them).
    """
    wide, narrow = (a, b) if a.channels >= b.channels else (b, a)
    common = narrow.channels
    if wide.kept != narrow.kept and first(wide.kept, common) != narrow.kept:
        raise UserError(f"{node}: {a.name} and {b.name} hold other channels; tie their widths")
    operations: list[Operation] = []

    def add(result: str, x: Tensor, y: Tensor) -> Tensor:
        operations.append(
            Operation(
                name=result,
                type="add",
                inputs=(x.name, y.name),
                input_shapes=(x.shape, y.shape),
                output_shape=x.shape,
                node=node,
            )
        )
        return Tensor(result, x.shape, prefix(x.channels))

    if wide.channels == common:
        out = add(name, a, b)
        return tuple(operations), out._replace(kept=wide.kept)
    if lowering == "pad":
        shape = (wide.channels, *narrow.shape[1:])
        operations.append(
            Operation(
                name=f"{name}.pad",
                type="pad_channels",
                inputs=(narrow.name,),
                input_shapes=(narrow.shape,),
                output_shape=shape,
                node=node,
            )
        )
        padded = Tensor(f"{name}.pad", shape, prefix(shape[0]))
        out = add(name, wide, padded)
        return tuple(operations), out._replace(kept=wide.kept)
    head = cut(f"{name}.head", node, wide, 0, common, operations)
    tail = cut(f"{name}.tail", node, wide, common, wide.channels, operations)
    summed = add(f"{name}.sum", head, narrow)
    operation, out = concat(name, (summed, tail), node=node)
    operations.append(operation)
    return tuple(operations), out._replace(kept=wide.kept)
