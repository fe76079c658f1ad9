"""How many distinct architectures a second are priced from a table, on one core."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from lut import open_cost_model
from lut.build import build_table
from lut.cost import CostModel
from lut.devices.host import HostDevice
from search_spaces import Additive, SearchSpace, space


def run(
    name: str = "mobilenet_v3",
    architectures: int = 20000,
    batch: int = 2000,
    checked: int = 200,
    seed: int = 0,
    table: str = "",
    device: str = "",
) -> dict[str, Any]:
    """Architectures a second, in batches, the table loaded.

    Args:
        name: the space.
        architectures: distinct random ones, given as a matrix of choices.
        batch: how many at once.
        checked: of them are compared with the sum over the operations of their description.
        seed: of the drawing.
        table: a table file.
        device: a fitted device's name; by default this machine's table, built where missing.
    """
    searched = space(name)
    model: CostModel
    if table or device:
        model = open_cost_model(device or None, Path(table) if table else None)
    else:
        model = build_table([searched], HostDevice())
    source = random.Random(seed)
    drawn = [searched.random(source) for _ in range(architectures)]
    price = Additive(searched, model.cost)
    rows = np.unique(price.matrix(drawn), axis=0)
    np.random.default_rng(seed).shuffle(rows)
    batches = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    begin = time.perf_counter()
    first = [price(part) for part in batches]
    cold = time.perf_counter() - begin
    fresh = _fresh(rows, searched.choices, seed)
    begin = time.perf_counter()
    for i in range(0, len(fresh), batch):
        price(fresh[i : i + batch])
    warm = time.perf_counter() - begin
    worst = _largest_difference(searched, model, rows[:checked], np.concatenate(first))
    return {
        "name": "lut-query",
        "value": len(fresh) / warm,
        "unit": "architectures/s",
        "details": {
            "distinct": len(rows),
            "batch": batch,
            "first_pass_per_second": len(rows) / cold,
            "largest_relative_difference": worst,
            "checked": min(checked, len(rows)),
            "space": name,
            "table": model.identity,
            "device": model.device.name,
        },
    }


def _largest_difference(searched: SearchSpace, model: CostModel, rows: Any, costs: Any) -> float:
    """Of the costs from those that are summed operation by operation, relative."""
    names, worst = list(searched.choices), 0.0
    for row, cost in zip(rows, costs, strict=False):
        network = searched.describe(dict(zip(names, map(int, row), strict=True)))
        single = sum(model.cost(operation) for operation in network.operations)
        worst = max(worst, abs(single - cost) / single)
    return worst


def _fresh(rows: Any, choices: Any, seed: int) -> Any:
    """As many rows again that were not priced before."""
    generator = np.random.default_rng(seed + 1)
    columns = [generator.choice(c.values, len(rows)) for c in choices.values()]
    return np.stack(columns, axis=1).astype(np.int64)
