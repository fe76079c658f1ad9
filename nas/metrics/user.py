"""A metric of the user's own: a function of the network description, named in the recipe."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from search_spaces import Network, SearchSpace, UserError, unknown
from search_spaces.batch import Matrix, Vector


class UserMetric:
    """Calls ``function(network) -> float`` once for every distinct architecture.

    The unit is the function's attribute ``unit`` where it has one.
    """

    def __init__(self, space: SearchSpace, name: str, function: Callable[[Network], float]) -> None:
        self.name = name
        self.unit = str(getattr(function, "unit", ""))
        self.identity = _source_hash(function)
        self._space = space
        self._function = function
        self._known: dict[bytes, float] = {}

    def of(self, network: Network) -> float:
        """The function's value.

        Raises:
            UserError: the function raises, or returns no positive, finite number.
        """
        try:
            value = float(self._function(network))
        except Exception as error:
            raise UserError(f"metric {self.name}: the function raised {error!r}") from error
        if not (math.isfinite(value) and value > 0):
            raise UserError(
                f"metric {self.name}: the function returned {value}; "
                "it must return a positive, finite number"
            )
        return value

    def batch(self, rows: Matrix) -> Vector:
        """The function's value of every row; shape (rows,)."""
        names = list(self._space.choices)
        out = np.empty(len(rows))
        for i, row in enumerate(rows):
            key = row.tobytes()
            if key not in self._known:
                values = dict(zip(names, row.tolist(), strict=True))
                self._known[key] = self.of(self._space.describe(values))
            out[i] = self._known[key]
        return out


def load_function(reference: str, folder: Path | None = None) -> Callable[[Network], float]:
    """The function that ``module:function`` or ``path/to/file.py:function`` names.

    Args:
        reference: the text of the recipe.
        folder: what a relative file path starts from; default the current folder.

    Raises:
        UserError: the module, file or function does not exist or cannot be imported.
    """
    where, colon, name = reference.rpartition(":")
    if not colon or not where or not name:
        raise UserError(f"{reference!r} is no 'module:function' and no 'file.py:function'")
    module = _from_file(where, folder) if where.endswith(".py") else _from_name(where)
    function = getattr(module, name, None)
    if function is None:
        public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise unknown(f"function of {where}", name, public)
    if not callable(function):
        raise UserError(f"{reference}: {name} is not a function")
    return function  # type: ignore[no-any-return]


def _from_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"module {name!r} cannot be imported: {error}") from None


def _from_file(text: str, folder: Path | None) -> ModuleType:
    path = (folder or Path.cwd()) / Path(text).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    name = f"_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{path}: {error!r}") from error
    return module


def _source_hash(function: Callable[[Network], float]) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = getattr(function, "__qualname__", repr(type(function)))
    return hashlib.sha256(source.encode()).hexdigest()[:16]
