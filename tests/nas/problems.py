"""Small problems with known numbers, shared by the tests of optimizers and search."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from nas.metrics import AdditiveMetric, macs, params
from nas.optimizers import Problem
from search_spaces import Operation, SearchSpace, space
from search_spaces.builder import GraphBuilder
from search_spaces.choices import Width


def two_layers(*, filters: int = 64) -> SearchSpace:
    """Convolutions ``a`` and ``b`` of searched width, then a classifier; no bypass."""
    graph = GraphBuilder(input_channels=3, resolution=8, bypass=False)
    x = graph.conv_unit("a", "input", filters, kernel=3, activation="relu")
    x = graph.conv_unit("b", x, filters, kernel=3, activation="relu")
    x = graph.linear("classifier", graph.global_pool("pool", x), Width(10))
    return graph.build("two_layers", x, classes=10)


def two_layer_latency(operation: Operation) -> float:
    """A table of known numbers; ``a`` is slower with 48 filters than with 56."""
    inputs, outputs = operation.input_shapes[0][0], operation.output_shape[0]
    if operation.name == "a":
        return 9.0 if outputs == 48 else outputs / 8
    if operation.name == "b":
        return inputs * outputs / 256
    if operation.name == "classifier":
        return inputs / 16
    return 0.0


def two_layer_problem(budget: float) -> Problem:
    """`two_layers` with its table; the largest network costs 28 ms."""
    space = two_layers()
    metric = AdditiveMetric(space, "latency", "ms", two_layer_latency, "known numbers")
    return Problem(space, (metric,), {"latency": budget})


def tiny_problem(share: float = 0.5, *, seed: int = 0, **constraints: float) -> Problem:
    """``mobilenet_v3_tiny`` at 16 px under a share of its MACs and of further metrics."""
    tiny = space("mobilenet_v3_tiny", resolution=16)
    largest = tiny.describe(tiny.largest())
    metrics = [macs(tiny), *(params(tiny) for name in constraints if name == "params")]
    shares = {"macs": share, **constraints}
    budgets = {m.name: shares[m.name] * m.of(largest) for m in metrics}
    return Problem(tiny, tuple(metrics), budgets, seed)


def known_score(architecture: Mapping[str, int]) -> float:
    """A score in 0 … 100 that only the architecture decides; larger networks tend to be better."""
    text = repr(sorted(architecture.items()))
    noise = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8
    return 60 + 39 * noise + min(0.9, sum(architecture.values()) / 10000)
