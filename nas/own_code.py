"""Functions and classes of the user's own: ``my_module:build`` or ``path/file.py:build``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from search_spaces import UserError, unknown


def is_own(name: str) -> bool:
    """True for a name of the user's own, false for a registered word."""
    return ":" in name


def load_function(name: str, folder: Path | None = None) -> Callable[..., Any]:
    """The function or class that ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION`` stands for.

    Args:
        name: the text of the recipe or command.
        folder: where a relative file or a module is looked for before the current folder.

    Raises:
        UserError: there is none, or importing it failed.
    """
    source, colon, function = name.rpartition(":")
    if not colon or not source or not function:
        raise UserError(f"{name!r} is no MODULE:FUNCTION and no FILE.py:FUNCTION")
    folders = [Path()] if folder is None else [folder, Path()]
    if source.endswith(".py"):
        paths = [each / Path(source).expanduser() for each in folders]
        module = _file(next((path for path in paths if path.is_file()), paths[-1]))
    else:
        module = _module(source, folders)
    found = getattr(module, function, None)
    if not callable(found):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise unknown(f"function of {source}", function, known)
    return found  # type: ignore[no-any-return]


def call(name: str, folder: Path | None = None, /, **settings: Any) -> Any:
    """What the function that ``name`` stands for returns.

    Raises:
        UserError: as `load_function`, or it raised.
    """
    function = load_function(name, folder)
    try:
        return function(**settings)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} raised {type(error).__name__}: {error}") from error


def _importable(folder: Path) -> None:
    """Put a folder last on the module path, so that nothing in it hides a module that exists."""
    text = str(folder.resolve())
    if text not in sys.path:
        sys.path.append(text)


def _module(name: str, folders: Iterable[Path]) -> ModuleType:
    for folder in folders:
        _importable(folder)
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
    _importable(path.parent)
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
