"""The trained network that a search by fine-tuning, or a training, starts from."""

from __future__ import annotations

from pathlib import Path

from nas.recipe.experiment import Experiment
from nas.runs.checkpoints import load
from nas.runs.folder import RunFolder, StepFolder, step_folder
from nas.runs.results import SearchResult, load_any
from nas.runs.weights import (
    Preparation,
    load_network,
    load_supernet,
    save_network,
    weights_file,
)
from nas.tasks.base import Task
from search_spaces import Architecture, SearchSpace, UserError, names, space_of
from supernet import CompactNetwork, extract
from supernet.pruning import reorder, shrink


def start_of(experiment: Experiment, given: Path | None, out: Path) -> Path | None:
    """The file or folder of the trained network to start from; None where the recipe brings it.

    In this order: what the command gives; ``search.weights``; the run's own super-network; the
    network of the recipe's space, where that is a model.

    Raises:
        UserError: there is none.
    """
    if given is not None:
        return _existing(given)
    stated = experiment.search.weights
    if stated is not None:
        path = Path(stated)
        return path if stated != "pretrained" and (path.is_dir() or _ours(path)) else None
    own = RunFolder(out).supernet.path
    if experiment.traced and not own.exists():
        return None
    return _existing(own)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(
            f"{path}: no weights to start from; run nas train-supernet first, or give "
            "--supernet PATH"
        )
    return path


def _ours(path: Path) -> bool:
    if not path.exists():
        raise UserError(f"search.weights: {path}: no such file or folder")
    try:
        load(path, "network", "supernet")
    except UserError:
        return False
    return True


def start_network(
    experiment: Experiment, weights: Path | None, task: Task, folder: StepFolder
) -> CompactNetwork:
    """The largest network of the experiment's space, trained.

    A network that the recipe brings is kept in ``folder``, so that workers and a resumed search
    start from the same, and need neither its code nor its checkpoint.

    Args:
        experiment: its space, and where its weights are (`start_of`).
        weights: a network's or super-network's; None for the recipe's own network.
        task: what the network is for.
        folder: of the search.

    Raises:
        UserError: no weights, weights of another network, or of a smaller one.
    """
    space = experiment.search_space()
    if weights is not None:
        return inherited(weights, space.largest(), experiment, task)
    kept = folder.start
    if not kept.exists():
        module = open_start(experiment, space)
        save_network(kept, module, space.largest(), Preparation.of(task))
    return load_network(kept).module


def open_start(experiment: Experiment, space: SearchSpace) -> CompactNetwork:
    """The recipe's own network with its weights: a model as it is built, or published weights.

    Raises:
        UserError: there are none, or they belong to another network.
    """
    from nas.tracing.pretrained import load_pretrained, open_network

    name, stated, settings = experiment.space.name, experiment.search.weights, experiment.space
    file = None if stated in (None, "pretrained") else Path(str(stated))
    if name in names():
        state = load_pretrained(space, file)
    else:
        found, state = open_network(
            name,
            resolution=space.resolution,
            classes=settings.settings.get("classes") if name.startswith("timm:") else None,
            weights="pretrained" if stated == "pretrained" else file,
        )
        if found.fingerprint != space.fingerprint:
            raise UserError(f"{name}: the network is not the one that the recipe was resolved for")
    module = CompactNetwork(space.describe(space.largest()), initial=False)
    module.load_state_dict(state)
    return module.eval()


def inherited(
    path: Path | None, architecture: Architecture, experiment: Experiment, task: Task
) -> CompactNetwork:
    """A network with the weights of a trained one that is at least as large.

    From a super-network it is extracted, from a larger network of the same space `pruned`.

    Args:
        path: file or folder of a network or super-network; None for the recipe's own network.
        architecture: of the network that is wanted.
        experiment: the recipe.
        task: what the network is for.

    Raises:
        UserError: missing, truncated, of another space, smaller than what is wanted, or trained
            with images that the task holds out.
    """
    if path is None:
        space = experiment.search_space()
        where, module, trained = space.name, open_start(experiment, space), space.largest()
    elif load(weights_file(path), "network", "supernet").kind == "supernet":
        shared = load_supernet(path, expected=space_of(architecture), task=task)
        return extract(shared, architecture).eval()
    else:
        stored = load_network(path, task=task)
        where, module, trained = str(path), stored.module, stored.architecture
    try:
        return pruned(module, trained, architecture)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def pruned(
    module: CompactNetwork, trained: Architecture, architecture: Architecture
) -> CompactNetwork:
    """The network cut to a smaller architecture: of every group the largest L2 norms stay.

    Args:
        module: the trained network; its channels are sorted, it computes the same.
        trained: its architecture.
        architecture: of the same space, no choice larger.

    Raises:
        UserError: of another space, or a choice is larger.
    """
    if trained == architecture:
        return module.eval()
    space = space_of(architecture)
    if trained.space_fingerprint != space.fingerprint:
        raise UserError(
            f"a network of space {trained.space!r} ({trained.space_fingerprint}), the wanted one "
            f"is of space {space.name!r} ({space.fingerprint})"
        )
    for name, value in architecture.items():
        if trained[name] < value:
            raise UserError(
                f"not the largest network, which is needed: {name} is {trained[name]} there, "
                f"{value} here"
            )
    reorder(module, space)
    return shrink(module, space.describe(architecture)).eval()


def member_weights(path: Path, architecture: Architecture) -> Path | None:
    """The weights that a search by fine-tuning kept of a member of its family.

    Args:
        path: the search's folder or its ``result.json``.
        architecture: of the member.

    Returns:
        Their file; None for a search that trains nothing, or another file.
    """
    folder = step_folder(path)
    found = load_any(folder.result) if folder.result.is_file() else None
    if isinstance(found, SearchResult):
        for member in found.family:
            if member.architecture == architecture:
                file = folder.winner(member.iteration)
                return file if file.is_file() else None
    return None
