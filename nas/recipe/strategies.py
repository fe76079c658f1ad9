"""The strategy of a recipe: one of the project's by its name, or the user's own class."""

from __future__ import annotations

from pathlib import Path

from nas.recipe.experiment import Named
from nas.recipe.named import Kind
from supernet.strategies import STRATEGIES, Strategy


def open_strategy(named: Named, folder: Path | None = None) -> Strategy:
    """What draws the sub-networks of a training step.

    Args:
        named: a registered name, or ``MODULE:CLASS`` or ``FILE.py:CLASS``, with settings. Instances
            of an own class follow `supernet.strategies.Strategy`.
        folder: what relative files start from.

    Raises:
        UserError: an unknown name or setting, a value out of range, or a class that lacks a part.
    """
    kind = Kind("strategy", "supernet.strategy", STRATEGIES, contract=Strategy, folder=folder)
    found: Strategy = kind.open(named.name, named.settings)
    return found
