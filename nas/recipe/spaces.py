"""Where a search space comes from: a registered name, a file, or a network that is traced."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_spaces import Architecture, SearchSpace, UserError, names, space, space_of, unknown

INPUT_SETTINGS = ("resolution", "channels", "classes")
"""What can be said of a network that is traced."""


def open_space(name: str, settings: Mapping[str, Any]) -> SearchSpace:
    """The search space that ``name`` stands for.

    Args:
        name: a registered space; an architecture file (``.json``), whose space is meant;
            ``timm:NAME``, ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION``. The function returns a
            `SearchSpace`, or a torch module that is traced: its widths are then the space.
        settings: keyword arguments of a registered space or of a function that has them; of a
            traced network the resolution (by default its own), channels and classes that it must
            have (timm's are built with so many).

    Returns:
        The space; one that cannot be found by registered name is embedded.

    Raises:
        UserError: no such space or setting, or a network that cannot be described.
    """
    if name in names():
        return space(name, **settings)
    if name.endswith(".json"):
        found = space_of(Architecture.load(Path(name)))
        _check_input(name, found, settings)
        return found
    if ":" not in name:
        raise unknown("search space", name, names())
    if name.startswith("timm:"):
        from nas.tracing import load_model

        model = load_model(name, classes=settings.get("classes"))
        return _traced(name, model, settings)
    return _built(name, settings)


def _built(name: str, settings: Mapping[str, Any]) -> SearchSpace:
    """The space that a function returns, or of the module that it returns."""
    from nas.own_code import call, load_function

    takes = inspect.signature(load_function(name)).parameters
    built = call(name, **{key: value for key, value in settings.items() if key in takes})
    if not isinstance(built, SearchSpace):
        rest = {key: value for key, value in settings.items() if key not in takes}
        return _traced(name, built, rest)
    for key in settings:
        if key not in takes:
            raise unknown(f"setting of {name}", key, takes)
    return replace(built, embedded=True)


def _traced(name: str, model: object, settings: Mapping[str, Any]) -> SearchSpace:
    from torch import nn

    from nas.tracing import space_from_model

    for key in settings:
        if key not in INPUT_SETTINGS:
            raise unknown(f"setting of network {name}", key, INPUT_SETTINGS)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{name} returned {type(model).__name__}, expected a SearchSpace or a torch.nn.Module"
        )
    found, _ = space_from_model(
        model,
        settings.get("resolution"),
        channels=settings.get("channels"),
        name=name,
        check=False,
    )
    _check_input(name, found, settings)
    return found


def _check_input(name: str, found: SearchSpace, settings: Mapping[str, Any]) -> None:
    own = {
        "resolution": found.resolution,
        "channels": found.input_channels,
        "classes": found.classes,
    }
    for key, value in settings.items():
        if key not in own:
            raise unknown(f"setting of {name}", key, own)
        if own[key] != value:
            raise UserError(f"{name} has {key} = {own[key]}, the settings say {value}")
