"""What networks cost, and the budgets a search keeps."""

from nas.metrics.additive import AdditiveMetric, macs, params, priced
from nas.metrics.base import Metric
from nas.metrics.budgets import absolute_budgets, parse_budget, show, split_budgets
from nas.metrics.memory import PeakMemory
from nas.metrics.phones import Phones
from nas.metrics.user import UserMetric

__all__ = [
    "AdditiveMetric",
    "Metric",
    "PeakMemory",
    "Phones",
    "UserMetric",
    "absolute_budgets",
    "macs",
    "params",
    "parse_budget",
    "priced",
    "show",
    "split_budgets",
]
