"""Measurements that the project's claims rest on, on the user's own machine.

Each is a module with ``run(**options) -> dict`` that returns at least ``name``, ``value``,
``unit`` and ``details``; it is imported only when it is run.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from search_spaces import unknown

BENCHMARKS = {
    "lut-accuracy": "nas.benchmarks.lut_accuracy",
    "lut-query": "nas.benchmarks.lut_query",
    "candidate-evaluation": "nas.benchmarks.candidate_evaluation",
    "ordered-dropout": "nas.benchmarks.ordered_dropout",
    "ranking": "nas.benchmarks.ranking",
    "recalibration": "nas.benchmarks.recalibration",
    "resume": "nas.benchmarks.resume",
    "supernet-quality": "nas.benchmarks.supernet_quality",
    "training-throughput": "nas.benchmarks.training_throughput",
}
"""Name → module."""


def run(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The result of a benchmark.

    Raises:
        UserError: unknown benchmark or option.
    """
    if name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    function = importlib.import_module(BENCHMARKS[name]).run
    known = inspect.signature(function).parameters
    for key in options:
        if key not in known:
            raise unknown(f"option of benchmark {name}", key, known)
    result: dict[str, Any] = function(**options)
    return {"schema": 1, **result}
