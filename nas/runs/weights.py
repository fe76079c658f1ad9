"""Weight files of super-networks and of single networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.runs.checkpoints import Checkpoint, load, load_module, reading, save
from nas.runs.folder import RunFolder, StepFolder, step_folder
from nas.runs.results import Encoder, SupernetResult, TrainResult, load_any
from nas.tasks.base import Task
from search_spaces import Architecture, SearchSpace, UserError, space, space_of
from supernet import CompactNetwork, Supernet


@dataclass(frozen=True)
class Preparation:
    """What a network expects of an image, what its outputs are called, what it has not seen.

    ``holdout`` identifies the images that were held out of its training; empty where that is
    unknown, as in files of before and of tasks that do not tell.
    """

    task: str
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    holdout: str = ""

    @classmethod
    def of(cls, task: Task) -> Preparation:
        """The preparation of a task's images."""
        holdout = str(task.describe().get("holdout_hash", ""))
        return cls(task.name, tuple(task.labels), tuple(task.mean), tuple(task.std), holdout)

    def check_holdout(self, task: Task, where: Path) -> None:
        """Refuse weights that were trained with images which are held out here.

        Raises:
            UserError: the same task held out other images; scores would flatter these weights.
        """
        own = Preparation.of(task)
        if self.task == own.task and self.holdout and self.holdout != own.holdout:
            raise UserError(
                f"{where}: trained with images that are held out here, so that scores would be of "
                "images it knows; the seed, task.holdout and the data must be those of its "
                "training (--set task.seed=N keeps them where --seed is another)"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "task": self.task,
            "labels": list(self.labels),
            "mean": list(self.mean),
            "std": list(self.std),
            "holdout": self.holdout,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preparation:
        """The inverse of `to_dict`."""
        return cls(
            data["task"],
            tuple(data["labels"]),
            tuple(data["mean"]),
            tuple(data["std"]),
            data.get("holdout", ""),
        )


def save_supernet(path: Path, module: nn.Module, space: SearchSpace, prepared: Preparation) -> None:
    """Write the shared weights with the space they belong to."""
    state = {
        "space": space.name,
        "architecture": space.largest().to_dict(),
        "fingerprint": space.fingerprint,
        "preparation": prepared.to_dict(),
        "values": {name: list(choice.values) for name, choice in space.choices.items()},
    }
    save(path, Checkpoint("supernet", module.state_dict(), state))


def load_supernet(
    path: Path,
    *,
    expected: SearchSpace | None = None,
    task: Task | None = None,
    searched: bool = False,
) -> Supernet:
    """Read a super-network from its file or its folder.

    Args:
        path: the file or its folder.
        expected: the space that it must be of.
        task: whose hold-out it is to be scored on.
        searched: any network of ``expected`` is to be scored by these weights.

    Raises:
        UserError: missing, truncated, no super-network, of another space than ``expected``,
            trained with images of the task's hold-out, or without widths that are searched.
    """
    path = weights_file(path)
    stored = load(path, "supernet")
    with reading(path):
        preparation = Preparation.from_dict(stored.state["preparation"])
        name, fingerprint = stored.state["space"], stored.state["fingerprint"]
    if task is not None:
        preparation.check_holdout(task, path)
    if expected is not None and expected.fingerprint != fingerprint:
        raise UserError(
            f"{path}: super-network of space {name!r} ({fingerprint}), "
            f"the experiment's is {expected.name!r} ({expected.fingerprint})"
        )
    with reading(path):
        if expected is not None and searched:
            _check_trained(expected, stored.state.get("values", {}))
        found = expected or _space(stored.state)
    if found.fingerprint != fingerprint:
        raise UserError(f"{path}: space {name!r} has changed since this was trained")
    module = Supernet(found)
    load_module(module, stored.tensors, where=str(path))
    return module.eval()


def _check_trained(space: SearchSpace, trained: Mapping[str, Sequence[int]]) -> None:
    """Refuse to search among widths that a super-network of limited choices has never had."""
    for name, values in trained.items():
        further = [v for v in space.choices[name].values if v not in values]
        if further:
            raise UserError(
                f"was trained without {name} = {further[0]}, which the search may take; "
                "use the same space.keep, multiple and minimum as its training"
            )


def _space(state: Mapping[str, Any]) -> SearchSpace:
    """The space of a super-network; files of the first version name it with its settings."""
    if "architecture" in state:
        return space_of(Architecture.from_dict(state["architecture"]))
    return space(state["space"], **state["settings"])


def save_network(
    path: Path, module: nn.Module, architecture: Architecture, prepared: Preparation
) -> None:
    """Write a network's weights with its architecture."""
    state = {"architecture": architecture.to_dict(), "preparation": prepared.to_dict()}
    save(path, Checkpoint("network", module.state_dict(), state))


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with trained weights and what it expects of an image."""

    module: CompactNetwork
    architecture: Architecture
    preparation: Preparation


def load_network(path: Path, *, task: Task | None = None) -> TrainedNetwork:
    """Read a trained network from its file, its ``train/<name>`` folder, or a run that has one.

    Args:
        path: the file or folder.
        task: whose hold-out it is to be scored on.

    Raises:
        UserError: missing, truncated, no network, or trained with images of the task's hold-out.
    """
    path = weights_file(path)
    stored = load(path, "network")
    with reading(path):
        architecture = Architecture.from_dict(stored.state["architecture"])
        preparation = Preparation.from_dict(stored.state["preparation"])
    module = CompactNetwork(space_of(architecture).describe(architecture))
    load_module(module, stored.tensors, where=str(path))
    if task is not None:
        preparation.check_holdout(task, path)
    return TrainedNetwork(module.eval(), architecture, preparation)


def start_encoder(module: Supernet, path: Path, *, task: Task | None = None) -> Encoder:
    """Copy every layer that a trained network of this project shares by name, in place.

    A layer that has more filters or channels there gives its first ones; kernels must be equal.

    Args:
        module: of the new task; to start a smaller network, extract it afterwards.
        path: of a network or a super-network, of any space and task.
        task: the new one, whose hold-out is to be scored.

    Raises:
        UserError: missing, truncated, without a layer in common, or of the same task and trained
            with images that it holds out.
    """
    file = weights_file(path)
    stored = load(file, "network", "supernet")
    with reading(file):
        preparation = Preparation.from_dict(stored.state["preparation"])
    if task is not None:
        preparation.check_holdout(task, file)
    own = module.state_dict()
    layers: dict[str, list[str]] = {}
    for name in own:
        layers.setdefault(".".join(name.split(".")[:2]), []).append(name)
    shared = [
        names
        for names in layers.values()
        if all(n in stored.tensors and _contains(stored.tensors[n], own[n]) for n in names)
    ]
    if not shared:
        raise UserError(
            f"{path}: shares no layer with space {module.space.name}; an encoder's layers have the "
            "names of that space and at least its widths (nas describe shows them)"
        )
    with torch.no_grad():
        for name in (name for names in shared for name in names):
            own[name].copy_(stored.tensors[name][tuple(map(slice, own[name].shape))])
    return Encoder(str(path), preparation.task, len(shared), len(layers), _training_seconds(file))


def _training_seconds(weights: Path) -> float | None:
    """What a training took, with that of the encoder it started from; None where nobody says."""
    result = step_folder(weights).result
    told = load_any(result) if result.is_file() else None
    if not isinstance(told, SupernetResult | TrainResult):
        return None
    before = told.encoder.seconds if told.encoder is not None else None
    return told.seconds + (before or 0.0)


def _contains(given: Tensor, wanted: Tensor) -> bool:
    """True where the tensors differ in the first two axes at most, and the given one is wider."""
    if given.dim() != wanted.dim() or given.shape[2:] != wanted.shape[2:]:
        return False
    return all(a >= b for a, b in zip(given.shape[:2], wanted.shape[:2], strict=True))


def weights_file(path: Path) -> Path:
    """The weights that a file, a step's folder or a run stands for.

    Raises:
        UserError: a folder without weights, or with several networks.
    """
    if not path.is_dir():
        return path
    own = StepFolder(path).weights
    if own.is_file():
        return own
    found = [step for step in RunFolder(path).trainings if step.weights.is_file()]
    if len(found) == 1:
        return found[0].weights
    if found:
        names = ", ".join(str(step.path) for step in found)
        raise UserError(f"{path}: holds several networks; name one: {names}")
    raise UserError(f"{path}: no {own.name} in here; is the training finished?")
