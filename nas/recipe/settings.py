"""Settings that a user gives to something by name, checked against its signature.

The one checker behind every registry. Values are read as strictly as JSON has them: text is no
number, a number is no true or false, a whole number may be written 2.0 but 2.5 is none.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from inspect import Parameter
from typing import Any, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from search_spaces import UserError, unknown


def checked(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    where: str,
    of: str,
    arguments: Collection[str] = (),
    noun: str = "setting",
) -> dict[str, Any]:
    """The given settings, in the types that the function's annotations ask for.

    Args:
        function: what they are for, a function or a class.
        given: name → value, as read from a recipe or a command line.
        where: the section of the recipe, or the option, that gives them.
        of: what they belong to.
        arguments: parameters that are no settings.
        noun: what one of them is called.

    Raises:
        UserError: an unknown setting, one that is missing, or a value that does not fit.
    """
    parameters = settings_of(function, arguments)
    types = _types(function)
    settings = {}
    for key, value in given.items():
        if key in parameters:
            settings[key] = fitted(value, types.get(key, Any), where=f"{where}.{key}")
        elif takes_any(function) and key not in arguments:
            settings[key] = value
        else:
            raise UserError(f"{where}: {unknown(f'{noun} of {of}', key, parameters)}")
    for key, parameter in parameters.items():
        if key not in given and parameter.default is Parameter.empty:
            raise UserError(f"{where}.{key} is missing; {of} has no default for it")
    return settings


def settings_of(
    function: Callable[..., Any], arguments: Collection[str] = ()
) -> dict[str, Parameter]:
    """The parameters of a function or class that are settings."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in arguments
        and parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    }


def fitted(value: Any, kind: Any, *, where: str) -> Any:
    """A value of a recipe in the type that is asked for.

    Raises:
        UserError: it does not fit.
    """
    try:
        adapter = TypeAdapter(kind)
    except PydanticSchemaGenerationError:
        # a class of the user's own, which no recipe can write
        return value
    try:
        return adapter.validate_json(_json(whole(value, kind), where), strict=True)
    except ValidationError as error:
        raise UserError(f"{where} = {value!r}: {said(error)}") from None


def _json(value: Any, where: str) -> str:
    try:
        # what YAML has beyond JSON, a date, say, is the text it was written as
        return json.dumps(value, default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise UserError(f"{where} = {value!r}: must be finite numbers, text and lists") from None


def whole(value: Any, kind: Any = None) -> Any:
    """2.0 as the whole number that it is, where the type does not leave that open."""
    if kind is not Any and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def said(error: ValidationError) -> str:
    """What is wrong with one value, in a line; of a union what each of its types asks for."""
    first, *others = dict.fromkeys(found["msg"] for found in error.errors())
    more = [message.removeprefix("Input should be ") for message in others]
    return " or ".join([first[0].lower() + first[1:], *more])


def _types(function: Callable[..., Any]) -> dict[str, Any]:
    annotated = function
    if inspect.isclass(function) and not dataclasses.is_dataclass(function):
        annotated = function.__init__
    try:
        return get_type_hints(annotated, include_extras=True)
    except (NameError, TypeError):
        # annotations that only a type checker can resolve
        return {}


def takes_any(function: Callable[..., Any]) -> bool:
    """True for a function of arbitrary keywords."""
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
