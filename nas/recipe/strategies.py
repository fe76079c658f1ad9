"""The strategy of a recipe: one of the project's by its name, or the user's own class."""

from __future__ import annotations

from nas.own_code import load_function
from nas.recipe.experiment import Named
from nas.recipe.settings import checked
from search_spaces import UserError
from supernet.strategies import Strategy, strategy


def open_strategy(named: Named) -> Strategy:
    """What draws the sub-networks of a training step.

    Args:
        named: a registered name, or ``MODULE:CLASS`` or ``FILE.py:CLASS``, with settings. Instances
            of an own class have ``forwards`` and ``passes`` as `supernet.strategies.Strategy` says.

    Raises:
        UserError: an unknown name or setting, a value out of range, or a class that lacks these.
    """
    if ":" not in named.name:
        return strategy(named.name, **named.settings)
    build = load_function(named.name)
    settings = checked(build, named.settings, noun="setting", of=f"strategy {named.name}")
    found = build(**settings)
    for needed in ("forwards", "passes"):
        if not hasattr(found, needed):
            raise UserError(f"strategy {named.name}: has no {needed!r}")
    return found  # type: ignore[no-any-return]
