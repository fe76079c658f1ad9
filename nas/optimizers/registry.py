"""Optimizers by name."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from nas.optimizers.base import Optimizer, Problem
from search_spaces import UserError, unknown

_OPTIMIZERS: dict[str, type[Optimizer]] = {}

T = TypeVar("T", bound=Optimizer)


def register(cls: type[T]) -> type[T]:
    """Register an optimizer under its attribute ``name``."""
    _OPTIMIZERS[cls.name] = cls
    return cls


def names() -> list[str]:
    """The registered optimizers."""
    return sorted(_OPTIMIZERS)


def optimizer(name: str, problem: Problem, **settings: Any) -> Optimizer:
    """The optimizer called ``name`` with these settings; what is left out has its default.

    Raises:
        UserError: unknown name or setting, or a problem that it cannot solve.
    """
    if name not in _OPTIMIZERS:
        raise unknown("optimizer", name, _OPTIMIZERS)
    cls = _OPTIMIZERS[name]
    known = [p for p in inspect.signature(cls.__init__).parameters if p not in ("self", "problem")]
    for key in settings:
        if key not in known:
            raise unknown(f"setting of optimizer {name}", key, known)
    try:
        return cls(problem, **settings)
    except TypeError as error:
        raise UserError(f"optimizer {name}: {error}") from None
