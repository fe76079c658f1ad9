"""Predicted against measured latency of networks that are spread over a space's latencies."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from lut.build import build_table
from lut.cost import CostModel
from lut.devices.host import HostDevice
from lut.validate import compare, validate
from search_spaces import Additive, Architecture, SearchSpace, space

POOL = 4000
"""Random architectures that the networks are chosen from."""


def run(
    name: str = "mobilenet_v3",
    resolution: int = 0,
    networks: int = 50,
    bands: int = 5,
    rounds: int = 3,
    seed: int = 0,
    table: str = "",
    precision: str = "float32",
) -> dict[str, Any]:
    """The errors of summed look-ups on this machine.

    Args:
        name: the space.
        resolution: in pixels; 0 for the space's own.
        networks: how many are measured whole.
        bands: of equal numbers of networks, reported one by one too.
        rounds: measurements of every network, in turns; their median counts.
        seed: of the drawing.
        table: a table file; by default this machine's own, built where it is missing.
        precision: ``float32`` or ``int8``.
    """
    settings = {"resolution": resolution} if resolution else {}
    searched = space(name, **settings)
    device = HostDevice()
    model: CostModel
    if table:
        from lut import open_cost_model

        model = open_cost_model(None, Path(table))
    else:
        model = build_table(
            [searched], device, precision="int8" if precision == "int8" else "float32"
        )
    chosen = spread(searched, model, networks, seed)
    described = {f"network-{i:02d}": searched.describe(a) for i, a in enumerate(chosen)}
    result = validate(described, model, HostDevice(seconds=0.5, max_blocks=60), rounds=rounds)
    points = sorted(result.points, key=lambda p: p.measured)
    parts = [list(part) for part in np.array_split(np.arange(len(points)), bands)]
    details = {
        **result.to_dict(),
        "bands": [_band([points[i] for i in part]) for part in parts if len(part)],
        "space": name,
        "resolution": searched.resolution,
        "seed": seed,
        "table": model.identity,
        "runtime": f"{model.device.runtime} {model.device.runtime_version}",
    }
    return {
        "name": "lut-accuracy",
        "value": result.median_error,
        "unit": "median absolute error, fraction",
        "details": details,
    }


def _band(points: list[Any]) -> dict[str, Any]:
    result = compare(points)
    return {
        "from_ms": points[0].measured,
        "to_ms": points[-1].measured,
        "spearman": result.spearman,
        "median_error": result.median_error,
        "p90_error": result.p90_error,
        "bias": result.bias,
    }


def spread(searched: SearchSpace, model: CostModel, count: int, seed: int) -> list[Architecture]:
    """Random architectures, evenly over the range of predicted cost.

    Every draw takes each choice uniformly from the values up to a share of its own, so that the
    pool holds small and large networks alike.
    """
    source = random.Random(seed)
    pool = [draw(searched, source) for _ in range(POOL)]
    price = Additive(searched, model.cost)
    costs = price(price.matrix(pool))
    targets = np.linspace(costs.min(), costs.max(), count)
    left = list(np.argsort(costs))
    chosen = []
    for target in targets:
        best = min(left, key=lambda i: abs(costs[i] - target))
        left.remove(best)
        chosen.append(pool[best])
    return chosen


def draw(searched: SearchSpace, source: random.Random) -> Architecture:
    """One architecture with every choice drawn from its lower or upper part."""
    low, high = sorted((source.random(), source.random()))
    values = {}
    for name, choice in searched.choices.items():
        if choice.kind == "kernel":
            values[name] = source.choice(choice.values)
            continue
        first = int(low * len(choice.values))
        last = max(first + 1, int(np.ceil(high * len(choice.values))))
        values[name] = source.choice(choice.values[first:last])
    return searched.architecture(values)
