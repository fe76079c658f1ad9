"""A model by name: ``timm:resnet18``, ``my_module:build_model`` or ``path/file.py:build_model``."""

from __future__ import annotations

from typing import Any

from torch import nn

from nas.own_code import call
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
