"""Recipes read from YAML, with ``section.key=value`` overrides, and written again.

Every key is checked; an unknown one is refused with the nearest known. The resolved experiment is
written into each run folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nas.neighbours import SITE
from nas.recipe.experiment import Experiment, Named, Section
from nas.recipe.settings import whole
from search_spaces import UserError, unknown

EXPERIMENT_SCHEMA = 1

SHIPPED = SITE / "experiments"
"""The recipes beside this package: files, so that a package of that name hides none of them."""


def recipes() -> dict[str, str]:
    """The shipped recipes: name → text."""
    return {f.stem: f.read_text(encoding="utf-8") for f in sorted(SHIPPED.glob("*.yaml"))}


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number too, as YAML 1.2 does; PyYAML's own rule wants 1.0e-3."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"),
    list("-+0123456789"),
)


def read_yaml(text: str) -> Any:
    """What a recipe or an option says; raises ``yaml.YAMLError``."""
    return yaml.load(text, Loader=_Loader)


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
        data = read_yaml(text)
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
        # as JSON, which is strict in numbers and not in paths
        text = json.dumps(_whole(data), default=str)
        experiment = Experiment.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _refusal(error, where) from None
    except (TypeError, RecursionError):
        raise UserError(f"{where}: a recipe is made of text, numbers, lists and sections") from None
    if experiment.code_folder is None and experiment.own_names():
        experiment = experiment.model_copy(update={"code_folder": Path.cwd()})
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
        value = read_yaml(text)
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
    if parts[0] == "space" and parts[1:2] in (["name"], ["settings"]):
        # made of another name or settings
        result["space"].pop("graph", None)
    return result


def _refusal(error: ValidationError, where: str) -> UserError:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    if isinstance(first["input"], dict):
        # of text or a mapping, the mapping was meant
        first = error.errors()[-1]
    path = [str(part) for part in first["loc"] if part not in ("str", Named.__name__)]
    dotted = ".".join(path)
    if first["type"] == "extra_forbidden":
        model = _model_at(path[:-1])
        known = [field.alias or name for name, field in model.model_fields.items()]
        inside = f" of section {'.'.join(path[:-1])}" if path[:-1] else ""
        return UserError(f"{where}: {unknown(f'key{inside}', path[-1], known)}")
    if first["type"] == "missing":
        return UserError(f"{where}: {dotted} is missing")
    message = first["msg"]
    return UserError(f"{where}: {dotted} = {first['input']!r}: {message[0].lower()}{message[1:]}")


def _model_at(path: Sequence[str]) -> type[Section]:
    """The section at a path; all that is deeper than a section is a `Named`."""
    model: type[Section] = Experiment
    for part in path:
        field = model.model_fields.get(part)
        annotation = None if field is None else field.annotation
        found = isinstance(annotation, type) and issubclass(annotation, Section)
        model = annotation if found else Named  # type: ignore[assignment]
    return model


def _whole(data: Mapping[str, Any]) -> dict[str, Any]:
    """2.0 as the whole number that it is; settings are left to what they belong to."""
    return {
        key: value
        if key in ("settings", "optimizers", "graph")
        else _whole(value)
        if isinstance(value, Mapping)
        else whole(value)
        for key, value in data.items()
    }


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
