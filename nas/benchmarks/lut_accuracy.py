"""Predicted against measured latency of networks that are spread over a space's latencies."""

from __future__ import annotations

import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from lut.build import build_table
from lut.cost import CostModel
from lut.coverage import reachable
from lut.devices.host import HostDevice
from lut.entries import measure_entries
from lut.interpolation import Weighted
from lut.probes import Surroundings
from lut.references import References, of_any_size
from lut.signature import Family, Widths
from lut.table import Table
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
    left_out: int = 0,
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
        left_out: operations that are not in the table, measured to find the error of
            interpolation.
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
    interpolation = {}
    if left_out and isinstance(model, Table):
        interpolation = {"interpolation": interpolated(searched, model, device, left_out, seed)}
    details = {
        **interpolation,
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


TIMED_MS = 0.005
"""Below this an operation's measurement is mostly noise; the error is reported apart."""


def interpolated(
    searched: SearchSpace, table: Table, device: HostDevice, count: int, seed: int
) -> dict[str, Any]:
    """The error of interpolation: operations that the table does not hold are measured.

    The entries around them are measured again in the same turns, so that the drift of the
    machine since the table was built is left out.
    """
    source = random.Random(seed)
    reached = reachable([searched])
    missing = {
        family: [widths for widths in sorted(members) if widths not in table.families[family]]
        for family, members in reached.items()
    }
    families = sorted((family for family in missing if missing[family]), key=str)
    drawn = [source.choice(families) for _ in range(count)]  # every family alike
    left_out = sorted({(f, source.choice(missing[f])) for f in drawn}, key=str)
    around_them = {
        (family, point) for family, widths in left_out for point, _ in _cell(table, family, widths)
    }
    measured = Table(device=table.device, source="lut-accuracy", conditions=table.conditions)
    around = Surroundings(**{f.name: table.conditions[f.name] for f in fields(Surroundings)})
    todo = sorted({*left_out, *around_them}, key=str)
    measure_entries(measured, todo, device, around, References(searched, reached))
    pairs = []
    for family, widths in left_out:
        between = sum(
            share * measured.families[family][point].value
            for point, share in _cell(table, family, widths)
        )
        pairs.append((between, measured.families[family][widths].value))
    large = [abs(a / b - 1) for a, b in pairs if b >= TIMED_MS]
    small = [abs(a - b) for a, b in pairs if b < TIMED_MS]
    return {
        "operations": len(large),
        "median_error": float(np.median(large)),
        "p90_error": float(np.quantile(large, 0.9)),
        "below_ms": TIMED_MS,
        "operations_below": len(small),
        "median_difference_below_ms": float(np.median(small)) if small else 0.0,
    }


def _cell(table: Table, family: Family, widths: Widths) -> Weighted:
    """The entries that the table interpolates between for these widths."""
    cell = table.interpolator(family).cell(widths)
    assert cell is not None, (family, widths)
    return cell


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
    """Random architectures, evenly over the range of predicted cost."""
    source = random.Random(seed)
    pool = [of_any_size(searched, source) for _ in range(POOL)]
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
