"""Spaces by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError, unknown
from search_spaces.space import SearchSpace
from search_spaces.storage import graph_from_dict

SpaceFunction = Callable[..., SearchSpace]

_SPACES: dict[str, SpaceFunction] = {}


def register(function: SpaceFunction) -> SpaceFunction:
    """Register a function of keyword settings under its own name."""
    _SPACES[function.__name__] = function
    return function


def names() -> list[str]:
    """The registered spaces."""
    return sorted(_SPACES)


def space(name: str, **settings: Any) -> SearchSpace:
    """The registered space ``name`` with these settings.

    Raises:
        UserError: unknown name or setting, or a value that a setting cannot have.
    """
    if name not in _SPACES:
        raise unknown("search space", name, _SPACES)
    function = _SPACES[name]
    known = inspect.signature(function).parameters
    for key in settings:
        if key not in known:
            raise unknown(f"setting of space {name}", key, known)
        _check_type(f"space {name}: {key}", settings[key], known[key].default)
    return function(**settings)


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


def _check_type(what: str, value: object, default: object) -> None:
    """A setting is of its default's type; numbers may be whole where the default is not."""
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    kind = type(default)
    if kind in wanted and not (type(value) is kind or (kind is float and type(value) is int)):
        raise UserError(f"{what} = {value!r} is not {wanted[kind]}")
