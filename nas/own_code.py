"""Functions and classes of the user's own: ``my_module:build`` or ``path/file.py:build``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from search_spaces import UserError, unknown


def load_function(name: str, folder: Path | None = None) -> Callable[..., Any]:
    """The function or class that ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION`` stands for.

    Args:
        name: the text of the recipe or command.
        folder: what a relative file path starts from; default the current folder.

    Raises:
        UserError: there is none, or importing it failed.
    """
    source, colon, function = name.rpartition(":")
    if not colon or not source or not function:
        raise UserError(f"{name!r} is no MODULE:FUNCTION and no FILE.py:FUNCTION")
    path = (folder or Path()) / Path(source).expanduser()
    module = _file(path) if source.endswith(".py") else _module(source)
    found = getattr(module, function, None)
    if not callable(found):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise unknown(f"function of {source}", function, known)
    return found  # type: ignore[no-any-return]


def call(name: str, **settings: Any) -> Any:
    """What the function that ``name`` stands for returns.

    Raises:
        UserError: as `load_function`, or it raised.
    """
    function = load_function(name)
    try:
        return function(**settings)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} raised {type(error).__name__}: {error}") from error


def _module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name and not name.startswith(f"{error.name}."):
            raise UserError(f"{name} imports {error.name}, which is not installed") from error
        raise UserError(f"there is no module {name!r} here or installed") from None
    except Exception as error:
        raise UserError(f"importing {name} raised {type(error).__name__}: {error}") from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    # the file's neighbours are importable from it, as they are when it is run
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # a name of its own: the file may be called like a module that exists
    name = f"_own_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{path} raised {type(error).__name__}: {error}") from error
    return module
