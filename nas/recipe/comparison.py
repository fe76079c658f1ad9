"""What a comparison says: variations of one recipe, over seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from nas.recipe.experiment import Experiment, Section
from nas.recipe.loading import SHIPPED, load_experiment, read_yaml, recipes
from search_spaces import UserError, unknown

Seed = Annotated[int, Field(ge=0)]


class Variation(Section):
    """One row of the table: a search whose best network is trained, or what stands beside one."""

    set: list[str] = []
    """Overrides of the recipe: section.key=value."""
    of: str | None = None
    """The variation whose search this row takes its network or its cost from."""
    baseline: Literal["scaled", "scaled-smallest-kernels", "pruned"] | None = None
    """Train a baseline that costs what the network of ``of`` costs."""
    within: Annotated[float, Field(gt=0, le=1)] | None = None
    """Train the best member of the family of ``of`` within this share of the largest network's
    cost, in place of the search's best."""


class Comparison(Section):
    """Variations × seeds; every one of them is an ordinary run."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this file format."""
    name: str
    """Of the run folder; the file's name unless given."""
    description: str = ""
    """The question, in a line."""
    recipe: str
    """A shipped recipe, or a file beside this one."""
    set: list[str] = []
    """Overrides of the recipe that all variations share."""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    """Rows are compared seed by seed."""
    variations: Annotated[dict[str, Variation], Field(min_length=1)]
    """Label of the row to what it is; all are compared with the first."""

    def experiment(self, label: str, seed: int) -> Experiment:
        """The recipe of one variation and seed.

        Raises:
            UserError: an override that does not fit.
        """
        own = self.variations[label]
        base = [] if own.of is None else self.variations[own.of].set
        return load_experiment(self.recipe, [*self.set, *base, *own.set, f"seed={seed}"])


def comparisons() -> dict[str, str]:
    """The shipped comparisons: name → text."""
    found = sorted((SHIPPED / "comparisons").glob("*.yaml"))
    return {f.stem: f.read_text(encoding="utf-8") for f in found}


def load_comparison(path_or_name: str) -> Comparison:
    """Read a comparison from a file, or by the name of a shipped one.

    Raises:
        UserError: no such comparison, broken YAML, an unknown key, a value that does not fit, a
            row that stands beside none.
    """
    path = Path(path_or_name)
    if path.is_file():
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot read this comparison ({error})") from None
    elif path_or_name in (shipped := comparisons()):
        text = shipped[path_or_name]
    else:
        raise unknown("comparison (no YAML file and none that is shipped)", path_or_name, shipped)
    try:
        data = read_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: a comparison is a mapping; this is not")
    found = _checked({"schema": 1, "name": path.stem, **data}, path_or_name)
    local = path.parent / found.recipe
    if path.is_file() and found.recipe not in recipes() and local.is_file():
        found = found.model_copy(update={"recipe": str(local.resolve())})
    return found


def _checked(data: Mapping[str, object], where: str) -> Comparison:
    try:
        found = Comparison.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        dotted = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {dotted}: {first['msg']}") from None
    except (TypeError, ValueError, RecursionError):
        raise UserError(f"{where}: made of text, numbers, lists and sections only") from None
    if len(set(found.seeds)) < len(found.seeds):
        raise UserError(f"{where}: seeds: each once")
    slugs: dict[str, str] = {}
    for label, own in found.variations.items():
        same = slugs.setdefault(slug(label), label)
        if same != label:
            raise UserError(f"{where}: variations {same!r} and {label!r} need names further apart")
        _check_beside(found, label, own, where)
    return found


def _check_beside(found: Comparison, label: str, own: Variation, where: str) -> None:
    place = f"{where}: variations.{label}"
    if own.of is None:
        if own.baseline is not None or own.within is not None:
            raise UserError(f"{place}: of: LABEL names the search that it stands beside")
        return
    searches = [name for name, other in found.variations.items() if other.of is None]
    if own.of not in searches:
        raise UserError(f"{place}: {unknown('variation with a search', own.of, searches)}")
    if (own.baseline is None) == (own.within is None):
        raise UserError(f"{place}: of needs one of baseline and within")


def slug(label: str) -> str:
    """A label as a folder's name."""
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-.") or "row"
