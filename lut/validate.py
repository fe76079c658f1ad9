"""Summed look-ups against the latency of whole networks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lut.cost import CostModel, Precision
from lut.devices.base import MeasuringDevice, ProgressCallback
from lut.ranks import spearman
from search_spaces import Network, Operation, UserError


@dataclass(frozen=True)
class Point:
    """One network: both figures in the model's unit, and what it is made of."""

    name: str
    predicted: float
    measured: float
    parts: Mapping[str, float]
    """The predicted cost by kind of operation, see `kind`."""

    @property
    def error(self) -> float:
        """(predicted − measured) / measured."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class Validation:
    """How well sums predict networks; errors are fractions of the measured figure."""

    points: tuple[Point, ...]
    spearman: float
    median_error: float
    mean_error: float
    p90_error: float
    bias: float
    """Median of the signed errors; negative where sums are too low."""

    def worst(self, count: int = 5) -> list[Point]:
        """The networks with the largest errors."""
        return sorted(self.points, key=lambda p: -abs(p.error))[:count]

    def by_operation(self) -> list[dict[str, Any]]:
        """The kinds of operations, those whose share goes most with the error first.

        ``share`` is the mean share of the predicted cost, ``correlation`` that of a network's
        share with its signed error: near −1 where more of the kind means too low a sum.
        """
        kinds = sorted({kind for point in self.points for kind in point.parts})
        errors = np.array([p.error for p in self.points])
        rows = []
        for name in kinds:
            share = np.array([p.parts.get(name, 0.0) / p.predicted for p in self.points])
            varies = len(errors) > 2 and share.std() > 0 and errors.std() > 0
            correlation = float(np.corrcoef(share, errors)[0, 1]) if varies else 0.0
            rows.append({"kind": name, "share": float(share.mean()), "correlation": correlation})
        return sorted(rows, key=lambda r: -abs(r["correlation"]) * r["share"])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, the data of the scatter plot included."""
        return {
            "networks": len(self.points),
            "spearman": self.spearman,
            "median_error": self.median_error,
            "mean_error": self.mean_error,
            "p90_error": self.p90_error,
            "bias": self.bias,
            "worst": [{"name": p.name, "error": p.error} for p in self.worst()],
            "by_operation": self.by_operation()[:8],
            "points": [
                {"name": p.name, "predicted": p.predicted, "measured": p.measured}
                for p in self.points
            ],
        }


def kind(operation: Operation) -> str:
    """What an operation counts as: its type, a convolution by its make, and its output size."""
    name: str = operation.type
    if operation.type == "conv":
        size = f"{operation.kernel[0]}x{operation.kernel[1]}"
        name = f"depthwise {size}" if operation.depthwise else f"conv {size}"
    return f"{name} at {operation.output_shape[1]}"


def predict(name: str, network: Network, model: CostModel, measured: float) -> Point:
    """One network's point.

    Raises:
        UncoveredError: the model lacks one of its operations.
    """
    parts: dict[str, float] = defaultdict(float)
    for operation in network.operations:
        parts[kind(operation)] += model.cost(operation)
    return Point(name, sum(parts.values()), measured, dict(parts))


def compare(points: Sequence[Point]) -> Validation:
    """The figures of some networks.

    Raises:
        UserError: there are none.
    """
    if not points:
        raise UserError("no network to validate with")
    errors = np.array([p.error for p in points])
    size = np.abs(errors)
    return Validation(
        points=tuple(points),
        spearman=spearman([p.predicted for p in points], [p.measured for p in points]),
        median_error=float(np.median(size)),
        mean_error=float(size.mean()),
        p90_error=float(np.quantile(size, 0.9)),
        bias=float(np.median(errors)),
    )


def measure_networks(
    networks: Mapping[str, Network],
    device: MeasuringDevice,
    *,
    rounds: int = 3,
    precision: Precision = "float32",
    on_progress: ProgressCallback | None = None,
) -> dict[str, float]:
    """The latency of whole networks with random weights: the median over ``rounds``.

    The networks take turns, so that a change of the machine's speed meets all of them.

    Raises:
        UserError: the device is lost.
    """
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            content = _file(network, precision)
            measured = device.measure({"network": content}, on_progress=on_progress)
            times[name].append(measured["network"].median)
    return {name: statistics.median(values) for name, values in times.items()}


def _file(network: Network, precision: Precision) -> bytes:
    """The network with random weights."""
    from lut.tflite import quantize, write_network

    content = write_network(network, None)
    return quantize(content, None) if precision == "int8" else content


def fastest(
    files: Mapping[str, bytes], device: MeasuringDevice, *, rounds: int = 15
) -> dict[str, float]:
    """The latency of files that are compared with one another: their fastest rounds, in turns.

    A core that is shared with another machine's work runs at two speeds, and medians of some
    rounds would compare the one with the other.

    Raises:
        UserError: the device is lost.
    """
    measured = [device.measure(files) for _ in range(rounds)]
    return {name: min(turn[name].median for turn in measured) for name in files}


def relative(
    network: Network,
    reference: Network,
    device: MeasuringDevice,
    *,
    precision: Precision = "float32",
) -> float:
    """The measured latency of a network as a fraction of another one's, see `fastest`.

    Raises:
        UserError: the device is lost.
    """
    files = {"network": _file(network, precision), "reference": _file(reference, precision)}
    measured = fastest(files, device)
    return measured["network"] / measured["reference"]


def validate(
    networks: Mapping[str, Network],
    model: CostModel,
    device: MeasuringDevice,
    *,
    rounds: int = 3,
    on_progress: ProgressCallback | None = None,
) -> Validation:
    """Measure networks on a device and compare with the sums of a model.

    Raises:
        UncoveredError: the model lacks an operation.
        UserError: the device is lost.
    """
    for name, network in networks.items():  # before anything is measured
        predict(name, network, model, 1.0)
    measured = measure_networks(
        networks,
        device,
        rounds=rounds,
        precision=model.device.precision,
        on_progress=on_progress,
    )
    return compare(
        [predict(name, network, model, measured[name]) for name, network in networks.items()]
    )
