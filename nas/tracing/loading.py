"""A model by name: ``timm:resnet18``, ``my_module:build_model`` or ``path/file.py:build_model``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from search_spaces import UserError, unknown


def load_model(name: str, *, pretrained: bool = False, classes: int | None = None) -> nn.Module:
    """The module that ``name`` stands for.

    Args:
        name: ``timm:NAME``, or ``MODULE:FUNCTION`` (found from the current folder too), or
            ``FILE.py:FUNCTION``; the function takes no arguments and returns an ``nn.Module``.
        pretrained: load timm's published weights (a function loads its own).
        classes: outputs of a timm model's classifier, its own number where None; a function
            decides for itself.

    Raises:
        UserError: there is no such model, or building it failed.
    """
    source, colon, function = name.rpartition(":")
    if not colon or not source or not function:
        raise UserError(
            f"{name!r} names no model; give timm:NAME, MODULE:FUNCTION or FILE.py:FUNCTION"
        )
    if source == "timm":
        return _timm(function, pretrained, classes)
    if classes is not None:
        raise UserError(f"{name}: the number of classes is up to {function}, not to an option")
    if pretrained:
        raise UserError(f"{name}: {function} loads its own weights; published ones are timm's")
    model = call(name)
    if not isinstance(model, nn.Module):
        raise UserError(f"{name} returned {type(model).__name__}, expected a torch.nn.Module")
    return model


def load_function(name: str) -> Callable[..., Any]:
    """The function that ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION`` stands for.

    Raises:
        UserError: there is none, or importing it failed.
    """
    source, _, function = name.rpartition(":")
    module = _file(Path(source)) if source.endswith(".py") else _module(source)
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


def _timm(name: str, pretrained: bool, classes: int | None) -> nn.Module:
    import nas.vision  # noqa: F401, I001  (makes timm importable)
    import timm

    known = timm.list_models()
    if name.split(".")[0] not in known:
        raise unknown("timm model", name, known)
    arguments: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    try:
        model = timm.create_model(name, pretrained=pretrained, **arguments)
    except Exception as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"timm could not build {name}: {line}") from error
    assert isinstance(model, nn.Module)
    return model


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
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path} raised {type(error).__name__}: {error}") from error
    return module
