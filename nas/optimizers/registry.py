"""Optimizers by name."""

from __future__ import annotations

from typing import Any, TypeVar

from nas.optimizers.base import Optimizer, Problem
from search_spaces import unknown

OPTIMIZERS: dict[str, type[Optimizer]] = {}
"""The optimizers by name."""

T = TypeVar("T", bound=Optimizer)


def register(cls: type[T]) -> type[T]:
    """Register an optimizer under its attribute ``name``."""
    OPTIMIZERS[cls.name] = cls
    return cls


def names() -> list[str]:
    """The registered optimizers."""
    return sorted(OPTIMIZERS)


def optimizer(name: str, problem: Problem, **settings: Any) -> Optimizer:
    """The optimizer called ``name`` with these settings; what is left out has its default.

    Raises:
        UserError: unknown name, or a problem that it cannot solve.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name](problem, **settings)
