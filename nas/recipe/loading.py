"""Recipes read from YAML, with ``section.key=value`` overrides, and written again.

Every key is checked; an unknown one is refused with the nearest known. The resolved experiment is
written into each run folder.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from nas.recipe.experiment import Experiment
from search_spaces import UserError, unknown

EXPERIMENT_SCHEMA = 1


def recipes() -> dict[str, str]:
    """The shipped recipes: name → text."""
    folder = importlib.resources.files("experiments")
    found = [f for f in folder.iterdir() if f.name.endswith(".yaml")]
    return {
        f.name.removesuffix(".yaml"): f.read_text() for f in sorted(found, key=lambda f: f.name)
    }


def load_experiment(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read a recipe from a file, or by the name of a shipped one.

    Args:
        path_or_name: a YAML path or a name from `recipes`.
        overrides: ``section.key=value``, the value as YAML.

    Raises:
        UserError: no such recipe, broken YAML, an unknown key or a value that does not fit.
    """
    path = Path(path_or_name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot read this recipe ({error})") from None
        name = path.stem
    else:
        shipped = recipes()
        name = str(path_or_name)
        if name not in shipped:
            raise unknown("experiment (no YAML file and no recipe)", name, shipped)
        text = shipped[name]
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path_or_name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path_or_name}: a recipe is a mapping of sections; this is not")
    data = {"schema": EXPERIMENT_SCHEMA, "name": name, **data}
    for override in overrides:
        data = _override(data, override)
    return parse_experiment(data, where=str(path_or_name))


def parse_experiment(
    data: Mapping[str, Any], *, where: str, base: Experiment | None = None
) -> Experiment:
    """Check a recipe that was read.

    Args:
        data: the sections.
        where: names it in errors.
        base: an experiment whose space is taken over where this one has the same.

    Raises:
        UserError: an unknown key or a value that does not fit.
    """
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        raise _refusal(error, where) from None
    if base is not None and base.space == experiment.space:
        experiment = experiment.with_space_of(base)
    try:
        space = experiment.search_space()
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if space.embedded and experiment.space.graph is None:
        section = experiment.space.model_copy(update={"graph": space.to_dict()})
        experiment = experiment.model_copy(update={"space": section})
    return experiment


def with_overrides(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    """The experiment with ``section.key=value`` applied.

    Raises:
        UserError: as `load_experiment`.
    """
    data = experiment.to_dict()
    for override in overrides:
        data = _override(data, override)
    return parse_experiment(data, where=experiment.name, base=experiment)


def _override(data: dict[str, Any], override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"--set {override}: expected section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: the value is not YAML") from None
    result = dict(data)
    node = result
    for part in parts[:-1]:
        child = node.get(part)
        if child is not None and not isinstance(child, dict):
            raise UserError(f"--set {override}: {part} is a value, not a section")
        node[part] = dict(child or {})
        node = node[part]
    node[parts[-1]] = value
    if parts[0] == "space" and parts[1:]:
        # made of another name or settings
        result["space"].pop("graph", None)
    return result


def _refusal(error: ValidationError, where: str) -> UserError:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    dotted = ".".join(path)
    if first["type"] == "extra_forbidden":
        model = _model_at(path[:-1])
        known = [field.alias or name for name, field in model.model_fields.items()]
        inside = f" of section {'.'.join(path[:-1])}" if path[:-1] else ""
        return UserError(f"{where}: {unknown(f'key{inside}', path[-1], known)}")
    message = first["msg"]
    if first["type"] == "missing":
        return UserError(f"{where}: {dotted} is missing")
    return UserError(f"{where}: {dotted} = {first['input']!r}: {message[0].lower()}{message[1:]}")


def _model_at(path: Sequence[str]) -> type[BaseModel]:
    model: type[BaseModel] = Experiment
    for part in path:
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        model = annotation
    return model


def to_yaml(experiment: Experiment) -> str:
    """The resolved experiment as a recipe that loads again."""
    data = experiment.to_dict()
    if experiment.space.graph is None:
        del data["space"]["graph"]
    else:
        data["space"]["graph"] = _Flow(data["space"]["graph"])
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False)


class _Flow(dict[str, Any]):
    """Written in a few long lines."""


class _Dumper(yaml.SafeDumper):
    """Plain YAML types, and `_Flow`."""


_Dumper.add_representer(
    _Flow,
    lambda dumper, data: dumper.represent_mapping(
        "tag:yaml.org,2002:map", dict(data), flow_style=True
    ),
)
