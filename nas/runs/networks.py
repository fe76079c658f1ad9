"""Networks by what a user calls them: a reference, an architecture file, a run. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.files import read_json
from nas.recipe.loading import load_experiment, recipes
from nas.recipe.spaces import open_space
from nas.runs.folder import RunFolder, StepFolder
from nas.runs.results import (
    QuickstartResult,
    Role,
    RunResult,
    SearchResult,
    SupernetResult,
    TrainResult,
    load_any,
    load_result,
)
from nas.runs.results.fields import checked_architecture
from search_spaces import (
    Architecture,
    Network,
    Operation,
    SearchSpace,
    UserError,
    names,
    space,
    space_of,
    unknown,
)


@dataclass(frozen=True)
class Found:
    """A network that was found by name or path."""

    label: str
    space: SearchSpace
    architecture: Architecture

    @property
    def network(self) -> Network:
        """The resolved description."""
        return self.space.describe(self.architecture)


def find(
    reference: str,
    *,
    member: int | None = None,
    width: float | None = None,
    resolution: int | None = None,
    classes: int | None = None,
) -> Found:
    """The network that a user names.

    Args:
        reference: a registered space, whose largest network is meant (``mobilenet_v3_large``, a
            published network, is one); a recipe; a model or a space of the user's own
            (``timm:resnet18``, ``my_module:build``); an architecture file; a result or run folder.
        member: of a search's family.
        width: multiplier of a registered space.
        resolution: input of a registered space or a traced model, in pixels.
        classes: outputs of a registered space or a model of timm's.

    Raises:
        UserError: nothing of that name, or an option that does not apply to it.
    """
    options = {"multiplier": width, "resolution": resolution, "classes": classes}
    given = {key: value for key, value in options.items() if value is not None}
    path = Path(reference)
    if reference in names():
        if width is not None and width <= 0:
            raise UserError(f"--width {width}: must be above 0")
        found = space(reference, **given)
        return Found(reference, found, found.largest())
    if path.suffix in (".yaml", ".yml") or reference in recipes():
        found = load_experiment(reference).search_space()
        return Found(reference, found, found.largest())
    if path.exists() or path.suffix == ".json":
        if given:
            option = next(iter(given)).replace("multiplier", "width")
            raise UserError(f"{reference}: --{option} changes only networks that go by name")
        architecture = load_architecture(path, member=member)
        return Found(reference, space_of(architecture), architecture)
    if ":" in reference:
        if width is not None:
            raise UserError(f"{reference}: --width changes only networks that go by name")
        found = open_space(reference, given)
        return Found(reference, found, found.largest())
    known = [*names(), *recipes()]
    raise unknown("network (no file, no run folder and no reference)", reference, known)


def load_architecture(path: Path, *, member: int | None = None) -> Architecture:
    """An architecture from its file, a result, or a run folder.

    Args:
        path: an architecture file; a search's ``result.json`` (its best); the result of step 3;
            or a folder that holds one of these.
        member: of a search's family, counted from 0, instead of its best.

    Raises:
        UserError: none is there, or the family has no such member.
    """
    return load_chosen(path, member=member)[0]


def load_chosen(path: Path, *, member: int | None = None) -> tuple[Architecture, Role]:
    """An architecture as `load_architecture` finds it, and what it is where it comes from."""
    if path.is_dir():
        path = _architecture_in(path)
    data = read_json(path)
    if "choices" in data and member is None:
        try:
            return checked_architecture(data), "other"
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    result = load_any(path) if "choices" not in data else None
    if isinstance(result, SearchResult):
        return _of_family(path, result, member)
    if member is not None:
        raise UserError(f"{path}: --member {member}: this file holds no family")
    if isinstance(result, TrainResult):
        return result.architecture, result.role
    if isinstance(result, RunResult):
        return result.architecture, "discovered"
    raise UserError(f"{path}: holds no architecture")


def role_of(architecture: Architecture, run: RunFolder) -> Role:
    """What an architecture is to the searches of a run; the largest of its space is that anywhere.

    Raises:
        UserError: a result in the run is broken, or the space has changed.
    """
    searches = [load_result(s.result, SearchResult) for s in run.searches if s.result.is_file()]
    for search in searches:
        if search.best is not None and search.best.architecture == architecture:
            return search.role
    if architecture == space_of(architecture).largest():
        return "largest"
    family = (member.architecture for search in searches for member in search.family)
    return "member" if architecture in family else "other"


def _of_family(path: Path, result: SearchResult, member: int | None) -> tuple[Architecture, Role]:
    if member is None:
        if result.best is not None:
            return result.best.architecture, result.role
        raise UserError(
            f"{path}: the search ended before every budget was met ({result.stopped}); "
            "raise the budget, or take a member of the family by --member K"
        )
    if not 0 <= member < len(result.family):
        raise UserError(f"{path}: --member {member}: the family has 0 to {len(result.family) - 1}")
    return result.family[member].architecture, "member"


def _architecture_in(folder: Path) -> Path:
    """The file of a folder that says which network it is about."""
    run, own = RunFolder(folder), StepFolder(folder)
    if own.result.is_file() and not isinstance(
        load_any(own.result), QuickstartResult | SupernetResult
    ):
        return own.result
    if own.architecture.is_file():
        return own.architecture
    for steps in (run.trainings, run.searches):
        found = [step for step in steps if step.result.is_file()]
        if len(found) > 1:
            names = ", ".join(str(step.path) for step in found)
            raise UserError(f"{folder}: holds several results; name one: {names}")
        if found:
            return found[0].result
    raise UserError(f"{folder}: no architecture in here yet (no result of a search or training)")


def operations_of(
    reference: str,
    *,
    width: float | None = None,
    resolution: int | None = None,
    classes: int | None = None,
) -> tuple[Operation, ...]:
    """The operations of a network, or the one operation that a JSON file holds.

    Raises:
        UserError: as `find`, or the file holds neither.
    """
    path = Path(reference)
    if path.suffix == ".json" and path.is_file():
        data = read_json(path)
        if "input_shapes" in data:
            return (Operation.from_dict(data),)
    found = find(reference, width=width, resolution=resolution, classes=classes)
    return found.network.operations
