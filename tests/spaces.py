"""Registered spaces for tests that take every one of them, whatever settings each has."""

from __future__ import annotations

import inspect
from typing import Any

from search_spaces import SPACES, SearchSpace, space


def fitting(name: str, **wished: Any) -> SearchSpace:
    """The space with those of the wished settings that it knows."""
    known = inspect.signature(SPACES[name]).parameters
    return space(name, **{key: value for key, value in wished.items() if key in known})
