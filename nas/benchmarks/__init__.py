"""Measurements that the project's claims rest on, on the user's own machine.

Each is a module with ``run(**options) -> dict`` that returns at least ``name``, ``value``,
``unit`` and ``details``; it is imported only when it is run.
"""

from __future__ import annotations

from typing import Any

from nas.recipe.named import Kind
from nas.recipe.settings import settings_of

BENCHMARKS = {
    "lut-accuracy": "nas.benchmarks.lut_accuracy:run",
    "lut-query": "nas.benchmarks.lut_query:run",
    "candidate-evaluation": "nas.benchmarks.candidate_evaluation:run",
    "ordered-dropout": "nas.benchmarks.ordered_dropout:run",
    "mutations": "nas.benchmarks.mutations:run",
    "optimizers": "nas.benchmarks.optimizers:run",
    "phones": "nas.benchmarks.phones:run",
    "ranking": "nas.benchmarks.ranking:run",
    "reach": "nas.benchmarks.reach:run",
    "recalibration": "nas.benchmarks.recalibration:run",
    "resume": "nas.benchmarks.resume:run",
    "supernet-quality": "nas.benchmarks.supernet_quality:run",
    "trace": "nas.benchmarks.trace:run",
    "training-throughput": "nas.benchmarks.training_throughput:run",
}
"""Name → its function."""

KIND = Kind("benchmark", "nas benchmark", BENCHMARKS, ("reporter",))


def run(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The result of a benchmark.

    Raises:
        UserError: unknown benchmark or option, or a value that does not fit.
    """
    settings = KIND.settings(name, options, where="--option")
    result: dict[str, Any] = KIND.build(name, settings)
    return {"schema": 1, **result}


def described(name: str) -> dict[str, Any]:
    """What a benchmark measures, and its options with their defaults."""
    function = KIND.find(name)
    options = settings_of(function, KIND.arguments)
    return {
        "name": name,
        "measures": (function.__doc__ or "").partition("\n")[0],
        "options": {key: parameter.default for key, parameter in options.items()},
    }
