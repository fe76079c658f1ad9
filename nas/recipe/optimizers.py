"""The optimizer of a search: one of the project's by its name, or the user's own class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.optimizers import OPTIMIZERS, Optimizer, Problem
from nas.recipe.experiment import SearchSection
from nas.recipe.named import Kind


def open_optimizer(
    name: str, problem: Problem, settings: Mapping[str, Any], *, folder: Path | None = None
) -> Optimizer:
    """A fresh optimizer.

    Args:
        name: a registered name, or ``FILE.py:CLASS`` or ``MODULE:CLASS`` of a class that follows
            `nas.optimizers.Optimizer` and is called with ``problem``.
        problem: that it is to solve.
        settings: of the optimizer; what is left out has its default.
        folder: where files and modules of the user's own are looked for first.

    Raises:
        UserError: an unknown optimizer or setting, or a problem that it cannot solve.
    """
    kind = _kind(folder)
    checked = kind.settings(name, settings, where=f"search.optimizers.{name}")
    found: Optimizer = kind.build(name, checked, problem=problem)
    return found


def check_optimizers(section: SearchSection, folder: Path | None = None) -> None:
    """Refuse what a recipe says of optimizers, also of those that it does not use.

    It costs nothing, so it is done before a super-network is trained for hours.

    Raises:
        UserError: an unknown optimizer or setting.
    """
    for name in dict.fromkeys([section.optimizer, *section.optimizers]):
        settings = section.optimizers.get(name, {})
        _kind(folder).settings(name, settings, where=f"search.optimizers.{name}")


def _kind(folder: Path | None) -> Kind:
    arguments = ("problem",)
    return Kind("optimizer", "search.optimizer", OPTIMIZERS, arguments, Optimizer, folder)
