"""Where a search space comes from: a registered name, a file, or a network that is traced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from nas.own_code import is_own
from nas.recipe.named import Kind
from nas.recipe.settings import checked, settings_of, takes_any
from search_spaces import SPACES, Architecture, SearchSpace, UserError, space_of, unknown

Count = Annotated[int, Field(ge=1)] | None


def _input(*, resolution: Count = None, channels: Count = None, classes: Count = None) -> None:
    """What can be said of a network that is traced: the settings that it has."""


def open_space(name: str, settings: Mapping[str, Any], folder: Path | None = None) -> SearchSpace:
    """The search space that ``name`` stands for.

    Args:
        name: a registered space; an architecture file (``.json``), whose space is meant;
            ``timm:NAME``, ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION``. The function returns a
            `SearchSpace`, or a torch module that is traced: its widths are then the space.
        settings: keyword arguments of a registered space or of a function that has them; of a
            traced network the resolution (by default its own), channels and classes that it must
            have (timm's are built with so many).
        folder: where files and modules of the user's own are looked for first.

    Returns:
        The space; one that cannot be found by registered name is embedded.

    Raises:
        UserError: no such space or setting, or a network that cannot be described.
    """
    kind = Kind("search space", "space", SPACES, folder=folder)
    if name in SPACES:
        found: SearchSpace = kind.open(name, settings)
        return found
    if name.endswith(".json"):
        stored = space_of(Architecture.load(Path(name)))
        _check_input(name, stored, settings)
        return stored
    if not is_own(name):
        raise unknown("search space", name, SPACES)
    if name.startswith("timm:"):
        from nas.tracing import load_model

        settings = checked(_input, settings, where="space.settings", of=f"network {name}")
        model = load_model(name, classes=settings.get("classes"))
        return _traced(name, model, settings)
    return _built(kind, name, settings)


def _built(kind: Kind, name: str, settings: Mapping[str, Any]) -> SearchSpace:
    """The space that a function returns, or of the module that it returns."""
    function = kind.find(name)
    takes = settings_of(function)
    # what the function does not take may be said of the module that it returns
    of_module = {} if takes_any(function) else {k: settings[k] for k in settings if k not in takes}
    own = {key: value for key, value in settings.items() if key not in of_module}
    built = kind.open(name, own)
    if not isinstance(built, SearchSpace):
        return _traced(name, built, of_module)
    for key in of_module:
        raise UserError(f"space.settings: {unknown(f'setting of {name}', key, takes)}")
    return replace(built, embedded=True)


def _traced(name: str, model: object, settings: Mapping[str, Any]) -> SearchSpace:
    from torch import nn

    from nas.tracing import space_from_model

    settings = checked(_input, settings, where="space.settings", of=f"network {name}")
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
