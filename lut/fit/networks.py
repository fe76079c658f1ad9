"""Whole networks of qed-usc/mobile-ml-benchmark as lists of operations.

Its list of operations names convolutions, pools, concatenations and fully connected layers with
their shapes; additions, gates, activations and free-standing normalisations are missing. They are
put back here by the structure of each family (the networks are those of osmr/imgclsmob).
"""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lut.fit.blocks import Chain
from search_spaces import Operation, UserError
from search_spaces.operation import Activation

NETWORK_COLUMNS = ("model",)
OPERATION_COLUMNS = ("model", "operation", "feature")


@dataclass(frozen=True)
class Architectures:
    """What the list of operations leaves out for networks whose name matches ``pattern``.

    ``residual`` is how units are added to their input: ``inverted`` (1×1, depthwise, 1×1 of
    equal width), ``pairs`` (every second 3×3), ``triples`` (every 1×1 behind a 3×3) or nothing.
    ``swish_from`` is the number of inverted blocks before hard-swish replaces ReLU. ``norms`` is
    where batch norm stands alone before an activation: ``units`` (once a residual unit) or
    ``concats`` (on every concatenation).
    """

    name: str
    pattern: str
    residual: str = ""
    swish_from: int | None = None
    norms: str = ""
    mobile: bool = False

    @property
    def group(self) -> str:
        """The family that is left out as a whole: both sizes of MobileNetV3 are one."""
        return self.name.partition("-L")[0].partition("-S")[0]


FAMILIES = (
    Architectures("MobileNetV3-Large", "mobilenetv3_large_.*", "inverted", 6, mobile=True),
    Architectures("MobileNetV3-Small", "mobilenetv3_small_.*", "inverted", 3, mobile=True),
    Architectures("MobileNetV2", "mobilenetv2b?_.*", "inverted", mobile=True),
    Architectures("FD-MobileNet", "fdmobilenet_.*", mobile=True),
    Architectures("MobileNetV1", "mobilenetb?_.*", mobile=True),
    Architectures("ProxylessNAS", "proxylessnas_.*", "inverted", mobile=True),
    Architectures("MnasNet", ".*mnasnet.*", "inverted", mobile=True),
    Architectures("FBNet", "fbnet_.*", "inverted", mobile=True),
    Architectures("EfficientNet-Edge", "efficientnet_edge_.*", "inverted"),
    Architectures("EfficientNet", "efficientnet_.*", "inverted"),
    Architectures("GhostNet", "ghostnet"),
    Architectures("ResNet, bottleneck", "(se)?resnetbc.*", "triples"),
    Architectures("PreResNet, bottleneck", "(se)?preresnetbc.*", "triples", norms="units"),
    Architectures("PreResNet", "(se)?preresnet.*", "pairs", norms="units"),
    Architectures("ResNet", "(se)?resnet.*", "pairs"),
    Architectures("ResNeXt", "(se)?resnext.*", "triples"),
    Architectures("RegNet", "regnet.*", "triples"),
    Architectures("BagNet", "bagnet.*", "triples"),
    Architectures("DenseNet", "densenet.*", norms="concats"),
    Architectures("SqueezeNet", "squeeze.*"),
    Architectures("other", ".*"),
)


def family_of(model: str) -> Architectures:
    """The family of a network by its name."""
    return next(f for f in FAMILIES if re.fullmatch(f.pattern, model))


@dataclass(frozen=True)
class MeasuredNetwork:
    """A network of the file: its operations and, per column, its latency in ms."""

    name: str
    family: Architectures
    operations: tuple[Operation, ...]
    latency: float


def read_networks(networks: Path, operations: Path, column: str) -> list[MeasuredNetwork]:
    """The networks of a pair of files with the latency of one column.

    Args:
        networks: CSV with ``model`` and the latency columns, microseconds.
        operations: CSV with ``model``, ``operation``, ``feature`` in execution order.
        column: such as ``pixel4|1large|float|mean``.

    Raises:
        UserError: a file or a column is missing, or a line is malformed.
    """
    lists: dict[str, list[tuple[str, Mapping[str, object]]]] = {}
    for line, row in enumerate(_rows(operations, OPERATION_COLUMNS), 2):
        try:
            feature = ast.literal_eval(row["feature"])
            lists.setdefault(row["model"], []).append((row["operation"], feature))
        except (ValueError, SyntaxError):
            raise UserError(f"{operations} line {line}: feature is not a Python literal") from None
    measured = []
    for line, row in enumerate(_rows(networks, (*NETWORK_COLUMNS, column)), 2):
        name = row["model"]
        if name not in lists:
            raise UserError(f"{networks} line {line}: {operations} does not list {name}")
        try:
            latency = float(row[column]) / 1000
        except ValueError:
            raise UserError(f"{networks} line {line}: {row[column]!r} is not a latency") from None
        if not 0 < latency < float("inf"):
            raise UserError(f"{networks} line {line}: {row[column]!r} is not a latency")
        family = family_of(name)
        try:
            resolved = network_operations(lists[name], family)
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{operations}: {name}: {error!r}") from None
        measured.append(MeasuredNetwork(name, family, resolved, latency))
    return measured


def network_operations(
    rows: Sequence[tuple[str, Mapping[str, object]]], family: Architectures
) -> tuple[Operation, ...]:
    """The operations of one network from its listed ones (kind, feature)."""
    reader = _Reader(family)
    for i, (kind, feature) in enumerate(rows):
        reader.read(kind, feature, last=i >= len(rows) - 3)
    return tuple(reader.chain.operations)


class _Reader:
    """Appends the listed operations of one network, and what the family adds to them."""

    def __init__(self, family: Architectures) -> None:
        self.family = family
        self.chain = Chain(3, 1)
        self.blocks = 0  # inverted blocks so far
        self.wide: Operation | None = None  # an expansion that waits for its depthwise
        self.deep: Operation | None = None  # the last depthwise or k×k convolution
        self.gated: Operation | None = None  # what an open squeeze-and-excite multiplies
        self.gates = 0
        self.pairs = 0

    def read(self, kind: str, feature: Mapping[str, object], *, last: bool) -> None:
        """Append one listed operation."""
        chain = self.chain
        channels = int(str(feature["Input_channel"]))
        if kind == "FULLY_CONNECTED":
            self._start(channels, 1)
            shape = (int(str(feature["Filter"])), 1, 1)
            chain.append(
                Operation(
                    chain.name("linear"),
                    "linear",
                    (chain.tensor,),
                    (chain.shape,),
                    shape,
                    bias=True,
                )
            )
            return
        size = int(str(feature["Input_shape"]))
        if kind == "MEAN":
            self._start(channels, size)
            self.gated, self.gates = self.deep, 0
            chain.global_pool()
            return
        out = int(str(feature["Output_shape"]))
        if kind == "CONCATENATION":
            parts = int(str(feature["Kernel"]))
            self._concat(channels, int(str(feature["Filter"])), parts, size)
            return
        kernel, stride = int(str(feature["Kernel"])), int(str(feature["Stride"]))
        if kind in {"MAX_POOL_2D", "AVERAGE_POOL_2D"}:
            self._pool(kind, channels, size, out, kernel, stride)
        elif kind == "DEPTHWISE_CONV_2D":
            # the list gives the input as it is padded
            self._start(channels, size if size < out * stride + 1 else out * stride)
            chain.depthwise(kernel=kernel, stride=stride, size=out, activation=self._activation(1))
            self.deep = chain.operations[-1]
        elif kind in {"CONV_2D", "CONV_2D_GROUP"}:
            filters, groups = int(str(feature["Filter"])), int(str(feature["Group"]))
            self._conv(channels, size, out, kernel, stride, filters, groups, last)
        else:
            raise ValueError(f"unknown operation {kind}")

    def _start(self, channels: int, size: int) -> None:
        self.chain.shape = (channels, size, size)

    def _activation(self, ahead: int) -> Activation:
        swish = self.family.swish_from
        return "hard_swish" if swish is not None and self.blocks + ahead > swish else "relu"

    def _conv(
        self,
        channels: int,
        size: int,
        out: int,
        kernel: int,
        stride: int,
        filters: int,
        groups: int,
        last: bool,
    ) -> None:
        chain, family = self.chain, self.family
        if size == 1 and self.gated is not None and self.gates < 2:
            self._start(channels, 1)
            chain.conv(filters, activation="relu" if self.gates == 0 else "hard_sigmoid")
            self.gates += 1
            if self.gates == 2:
                self._multiply(self.gated)
                self.gated = None
            return
        first = not chain.operations
        self._start(channels, size)
        grows = filters > channels or self.deep is None
        activation: Activation = "none"
        if family.swish_from is not None and (first or last):
            activation = "none" if last and filters == 1000 else "hard_swish"
        elif family.residual == "inverted" and kernel == 1 and self.deep is None and grows:
            activation = self._activation(1)
        chain.conv(
            filters, kernel=kernel, stride=stride, groups=groups, activation=activation, size=out
        )
        operation = chain.operations[-1]
        if family.residual == "inverted":
            self._inverted(operation, first)
        elif family.residual == "pairs" and kernel == 3:
            self.pairs += 1
            if self.pairs % 2 == 0:
                self._unit(operation)
        elif family.residual == "triples":
            if kernel == 1 and self.deep is not None and channels == self.deep.output_shape[0]:
                self._unit(operation)
                self.deep = None
            elif kernel == 3:
                self.deep = operation
        if family.residual == "pairs" and kernel > 1:
            self.deep = operation

    def _inverted(self, operation: Operation, first: bool) -> None:
        """An expansion opens a block, the 1×1 behind its depthwise closes it."""
        if first:
            return
        if operation.kernel != (1, 1) and self.wide is None:
            self.wide = self.deep = operation  # a fused expansion, as EfficientNet-Edge has it
        elif self.deep is None:
            self.wide = operation
        else:
            opening = self.wide or self.deep
            self.blocks += 1
            before = opening.input_shapes[0]
            if before[0] == operation.output_shape[0] and before[1] == operation.output_shape[1]:
                self.chain.add("input")
            self.wide = self.deep = None

    def _unit(self, operation: Operation) -> None:
        """The addition at the end of a residual unit, and its free-standing norm."""
        self.chain.add("input")
        if self.family.norms == "units":
            self._norm(operation.output_shape)

    def _norm(self, shape: tuple[int, int, int]) -> None:
        chain = self.chain
        name = chain.name("batch_norm")
        chain.append(Operation(name, "batch_norm", (chain.tensor,), (shape,), shape, norm=True))

    def _multiply(self, gated: Operation) -> None:
        chain = self.chain
        shape = gated.output_shape
        inputs = (gated.name, chain.tensor)
        chain.append(
            Operation(chain.name("multiply"), "multiply", inputs, (shape, chain.shape), shape)
        )

    def _concat(self, channels: int, total: int, parts: int, size: int) -> None:
        """The list gives the first part's channels, the number of parts and the sum."""
        chain = self.chain
        rest = total - channels
        widths = [channels, *[rest // max(parts - 1, 1)] * (parts - 1)]
        widths[-1] += total - sum(widths)
        shapes = tuple((w, size, size) for w in widths)
        names = tuple(f"part{i}" for i in range(len(widths)))
        chain.append(Operation(chain.name("concat"), "concat", names, shapes, (total, size, size)))
        if self.family.norms == "concats":
            self._norm((total, size, size))

    def _pool(
        self, kind: str, channels: int, size: int, out: int, kernel: int, stride: int
    ) -> None:
        chain = self.chain
        self._start(channels, size)
        if out == 1 and kernel >= size:
            chain.global_pool()
            return
        average = kind == "AVERAGE_POOL_2D"
        chain.append(
            Operation(
                chain.name("pool"),
                "avg_pool" if average else "max_pool",
                (chain.tensor,),
                (chain.shape,),
                (channels, out, out),
                kernel=(kernel, kernel),
                stride=(stride, stride),
                mode="floor",
            )
        )


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            header = reader.fieldnames or []
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UserError(f"cannot read {path}: {reason}") from None
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}")
    if any(None in row or None in row.values() for row in rows):
        raise UserError(f"{path} has a line of the wrong length")
    return rows
