"""What a recipe names by a word or as ``FILE.py:NAME``: found, its settings checked, opened."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.own_code import is_own, load_function
from nas.recipe.settings import checked, settings_of, takes_any
from search_spaces import UserError, unknown


@dataclass(frozen=True)
class Kind:
    """One kind of thing that a recipe names: a task, an optimizer, …

    Args:
        word: what one is called.
        where: the section that names it.
        registry: the project's by name: each the function or class, or ``module:function`` of
            one that is imported only when it is used.
        arguments: what each is opened with besides its settings.
        contract: the protocol or base class that one opened must follow.
        folder: what relative files of the user's own start from; None for the current folder.
    """

    word: str
    where: str
    registry: Mapping[str, Callable[..., Any] | str]
    arguments: Collection[str] = ()
    contract: type | None = None
    folder: Path | None = None

    def find(self, name: str) -> Callable[..., Any]:
        """The function or class of this name.

        Raises:
            UserError: there is none.
        """
        if is_own(name):
            return load_function(name, self.folder)
        if name not in self.registry:
            raise UserError(f"{self.where}: {unknown(self.word, name, self.registry)}")
        found = self.registry[name]
        if not isinstance(found, str):
            return found
        module, _, attribute = found.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return function

    def settings(
        self, name: str, given: Mapping[str, Any], *, where: str | None = None
    ) -> dict[str, Any]:
        """The settings of what is called so, checked; ``where`` they are given.

        Raises:
            UserError: no such name, or a setting that does not fit.
        """
        function = self.find(name)
        of = f"{self.word} {name}"
        if is_own(name):
            self._check_arguments(function, of)
        where = where or f"{self.where}.settings"
        return checked(function, given, where=where, of=of, arguments=self.arguments)

    def open(self, name: str, given: Mapping[str, Any], /, **arguments: Any) -> Any:
        """What is called so, with its settings and these arguments.

        Raises:
            UserError: as `settings`; what the function refuses; of the user's own also whatever
                it raises, or that it returned what lacks a part of the contract.
        """
        return self.build(name, self.settings(name, given), **arguments)

    def build(self, name: str, settings: Mapping[str, Any], /, **arguments: Any) -> Any:
        """As `open`, with settings that were checked."""
        function = self.find(name)
        if not is_own(name):
            return function(**arguments, **settings)
        try:
            found = function(**arguments, **settings)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self.word} {name} raised {type(error).__name__}: {error}") from error
        if self.contract is not None:
            self.check_contract(name, found, self.contract)
        return found

    def check_contract(self, name: str, found: object, contract: type) -> None:
        """Refuse what lacks a part of a contract.

        Raises:
            UserError: names the first part that it lacks.
        """
        for missing in lacking(found, contract):
            raise UserError(
                f"{self.word} {name}: {type(found).__name__} has no {missing!r}, which every "
                f"{self.word} has (see {contract.__module__})"
            )

    def _check_arguments(self, function: Callable[..., Any], of: str) -> None:
        takes = settings_of(function)
        for argument in () if takes_any(function) else self.arguments:
            if argument not in takes:
                wanted = ", ".join(self.arguments)
                raise UserError(f"{of} takes no {argument!r}; it is called with {wanted}")


def lacking(found: object, contract: type) -> list[str]:
    """The public attributes and methods of a protocol or base class that an object lacks."""
    wanted = [
        name
        for cls in reversed(contract.__mro__)
        if cls.__module__ == contract.__module__
        for name in [*vars(cls).get("__annotations__", {}), *vars(cls)]
        if not name.startswith("_")
    ]
    return [name for name in dict.fromkeys(wanted) if not hasattr(found, name)]
