"""Ways of drawing sub-networks in training, chosen by name in a recipe."""

from supernet.strategies.base import STRATEGIES, Pass, Strategy, names, strategy
from supernet.strategies.largest import Largest
from supernet.strategies.ordered_dropout import OrderedDropout
from supernet.strategies.sandwich import Sandwich

__all__ = [
    "STRATEGIES",
    "Largest",
    "OrderedDropout",
    "Pass",
    "Sandwich",
    "Strategy",
    "names",
    "strategy",
]
