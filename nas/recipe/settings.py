"""Settings that a user gives to a function by name, checked against its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from search_spaces import UserError, unknown


def checked(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    noun: str,
    of: str,
    own: int | tuple[str, ...] = (),
) -> dict[str, Any]:
    """The given settings, in the types that the function's annotations ask for.

    Args:
        function: what they are for, a function or a class.
        given: name → value, as read from a recipe or a command line.
        noun: what one of them is called.
        of: what they belong to.
        own: parameters that are no settings: their names, or how many of the first ones.

    Raises:
        UserError: an unknown setting, or a value that does not fit.
    """
    known = list(inspect.signature(function).parameters)
    known = known[own:] if isinstance(own, int) else [name for name in known if name not in own]
    annotated = function.__init__ if inspect.isclass(function) else function
    types = get_type_hints(annotated, include_extras=True)
    settings = {}
    for key, value in given.items():
        if key not in known:
            raise unknown(f"{noun} of {of}", key, known)
        try:
            settings[key] = TypeAdapter(types.get(key, Any)).validate_python(value)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise UserError(f"{of}: {key} = {value!r}: {said[0].lower()}{said[1:]}") from None
    return settings
