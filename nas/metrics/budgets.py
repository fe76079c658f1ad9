"""Budgets as a user writes them, and as a search needs them: absolute."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from nas.metrics.base import Metric
from search_spaces import SearchSpace, UserError

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(\S*)\s*")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "KiB": 2.0**10, "MiB": 2.0**20}
_THOUSANDS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


def split_budgets(metric: str, texts: Sequence[str]) -> dict[str, str]:
    """Sort ``30ms`` and ``NAME=VALUE`` texts by metric; the descended metric comes first.

    >>> split_budgets("latency", ["30ms", "params=5M"])
    {'latency': '30ms', 'params': '5M'}

    Raises:
        UserError: the descended metric has no budget, or a metric has two.
    """
    budgets: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        name = name.strip() if equals else metric
        if name in budgets:
            raise UserError(f"two budgets for {name}: {budgets[name]} and {value.strip()}")
        budgets[name] = value.strip()
    if metric not in budgets:
        raise UserError(f"no budget for {metric}, the metric that is descended: add --budget VALUE")
    return {metric: budgets[metric], **budgets}


def parse_budget(text: str, metric: Metric, largest: float) -> float:
    """An absolute budget in the metric's unit from ``30ms``, ``220M`` or ``50%``.

    A bare number is in the metric's unit. Times are converted (s, ms, us, ns), and bytes (kB, MB,
    KiB, MiB); counts take k, M and G.

    Args:
        text: as the user wrote it.
        metric: whose unit counts.
        largest: what the largest network costs, for shares.

    Raises:
        UserError: not such a text, a foreign unit, or not positive.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise UserError(f"budget {metric.name}={text}: not a number with a unit, such as 30ms")
    number, unit = float(match[1]), match[2]
    if not (number > 0 and math.isfinite(number)):
        raise UserError(f"budget {metric.name}={text}: must be positive")
    if unit == "%":
        if number > 100:
            raise UserError(
                f"budget {metric.name}={text}: a share of the largest network is ≤ 100%"
            )
        return largest * number / 100
    if unit in ("", metric.unit):
        return number
    if metric.unit in _SECONDS:
        if unit not in _SECONDS:
            raise _foreign(text, metric, [*_SECONDS, "%"])
        return number * _SECONDS[unit] / _SECONDS[metric.unit]
    if metric.unit == "B" and unit in _BYTES:
        return number * _BYTES[unit]
    if unit not in _THOUSANDS or metric.unit == "B":
        known = list(_BYTES) if metric.unit == "B" else ["k", "M", "G"]
        raise _foreign(text, metric, [*known, "%"])
    return number * _THOUSANDS[unit]


def absolute_budgets(
    texts: Mapping[str, str], metrics: Sequence[Metric], space: SearchSpace
) -> dict[str, float]:
    """Every metric's budget in its unit, given what the space's largest network costs."""
    largest = space.describe(space.largest())
    return {m.name: parse_budget(texts[m.name], m, m.of(largest)) for m in metrics}


def show(metric: Metric, value: float) -> str:
    """The value with its unit, for people: ``12.4 ms``, ``219 M MACs``."""
    if metric.unit in _SECONDS:
        return f"{value:.4g} {metric.unit}"
    if metric.unit == "B":
        return f"{value / 1e3:.4g} kB"
    for letter in ("G", "M", "k"):
        if value >= _THOUSANDS[letter]:
            return f"{value / _THOUSANDS[letter]:.4g} {letter} {metric.unit}".rstrip()
    return f"{value:.4g} {metric.unit}".rstrip()


def _foreign(text: str, metric: Metric, known: Sequence[str]) -> UserError:
    return UserError(
        f"budget {metric.name}={text}: unknown unit; {metric.name} takes {', '.join(known)}"
    )
