"""Measurements that the project's claims rest on, on the user's own machine.

Each is a module with ``run(**options) -> dict`` that returns at least ``name``, ``value``,
``unit`` and ``details``; it is imported only when it is run.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from nas.recipe.settings import checked
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
        UserError: unknown benchmark or option, or a value that does not fit.
    """
    if name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    function = _function(name)
    settings = checked(function, options, noun="option", of=f"benchmark {name}", own=("reporter",))
    result: dict[str, Any] = function(**settings)
    return {"schema": 1, **result}


def described(name: str) -> dict[str, Any]:
    """What a benchmark measures, and its options with their defaults."""
    function = _function(name)
    parameters = inspect.signature(function).parameters
    return {
        "name": name,
        "measures": (function.__doc__ or "").partition("\n")[0],
        "options": {key: p.default for key, p in parameters.items() if key != "reporter"},
    }


def _function(name: str) -> Callable[..., dict[str, Any]]:
    found: Callable[..., dict[str, Any]] = importlib.import_module(BENCHMARKS[name]).run
    return found
