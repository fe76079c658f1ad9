"""Spaces by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError, unknown
from search_spaces.space import SearchSpace
from search_spaces.storage import graph_from_dict

SpaceFunction = Callable[..., SearchSpace]

SPACES: dict[str, SpaceFunction] = {}
"""The registered spaces by name."""


def register(function: SpaceFunction) -> SpaceFunction:
    """Register a function of keyword settings under its own name.

    The space that it returns is called so, and keeps the arguments that it was built with,
    defaults included: by both it is found again.
    """
    name = function.__name__
    signature = inspect.signature(function)

    @wraps(function)
    def build(**settings: Any) -> SearchSpace:
        bound = signature.bind(**settings)
        bound.apply_defaults()
        return replace(function(**settings), name=name, settings=_plain(bound.arguments))

    SPACES[name] = build
    return build


def names() -> list[str]:
    """The registered spaces."""
    return sorted(SPACES)


def space(name: str, **settings: Any) -> SearchSpace:
    """The registered space ``name`` with these settings, of the types that its function asks for.

    Raises:
        UserError: unknown name or setting, or a value that a setting cannot have.
    """
    if name not in SPACES:
        raise unknown("search space", name, SPACES)
    try:
        return SPACES[name](**settings)
    except TypeError as error:
        raise UserError(f"space {name}: {error}") from None


def space_of(architecture: Architecture) -> SearchSpace:
    """The space of a stored architecture, found by name or embedded in it.

    Raises:
        UserError: the space is unknown, or has changed since the architecture was stored.
    """
    if architecture.graph is not None:
        found = graph_from_dict(architecture.graph)
    else:
        settings = dict(architecture.settings)
        settings["resolution"] = architecture.resolution
        settings["classes"] = architecture.classes
        found = space(architecture.space, **settings)
    if found.fingerprint != architecture.space_fingerprint:
        raise UserError(
            f"the architecture was stored for another version of space {architecture.space!r} "
            f"({architecture.space_fingerprint}, here {found.fingerprint})"
        )
    return found


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has them: tuples are lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
