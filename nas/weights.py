"""Weight files of super-networks and of single networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nas.tasks.base import Task
from nas.training.checkpoint import Checkpoint, load, load_module, save
from search_spaces import Architecture, SearchSpace, UserError, space, space_of
from supernet import CompactNetwork, Supernet

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Preparation:
    """What a network expects of an image and what its outputs are called."""

    task: str
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, task: Task) -> Preparation:
        """The preparation of a task's images."""
        return cls(task.name, tuple(task.labels), tuple(task.mean), tuple(task.std))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "task": self.task,
            "labels": list(self.labels),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preparation:
        """The inverse of `to_dict`."""
        return cls(data["task"], tuple(data["labels"]), tuple(data["mean"]), tuple(data["std"]))


def save_supernet(path: Path, module: nn.Module, space: SearchSpace, prepared: Preparation) -> None:
    """Write the shared weights with the space they belong to."""
    settings = {
        **space.settings,
        "resolution": space.resolution,
        "classes": space.classes,
    }
    state = {
        "space": space.name,
        "settings": settings,
        "fingerprint": space.fingerprint,
        "preparation": prepared.to_dict(),
    }
    save(path, Checkpoint("supernet", module.state_dict(), state))


def load_supernet(path: Path, *, expected: SearchSpace | None = None) -> Supernet:
    """Read a super-network from its file or its folder.

    Raises:
        UserError: missing, truncated, no super-network, or of another space than ``expected``.
    """
    path = _weights_file(path)
    stored = load(path, "supernet")
    found = space(stored.state["space"], **stored.state["settings"])
    if expected is not None and expected.fingerprint != stored.state["fingerprint"]:
        raise UserError(
            f"{path}: super-network of space {found.name!r} ({stored.state['fingerprint']}), "
            f"the experiment's is {expected.name!r} ({expected.fingerprint})"
        )
    if found.fingerprint != stored.state["fingerprint"]:
        raise UserError(f"{path}: space {found.name!r} has changed since this was trained")
    module = Supernet(expected or found)
    load_module(module, stored.tensors, where=str(path))
    return module.eval()


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


def load_network(path: Path) -> TrainedNetwork:
    """Read a trained network from its file, its ``train/<name>`` folder, or a run that has one.

    Raises:
        UserError: missing, truncated, or no network.
    """
    path = _weights_file(path)
    stored = load(path, "network")
    architecture = Architecture.from_dict(stored.state["architecture"])
    module = CompactNetwork(space_of(architecture).describe(architecture))
    load_module(module, stored.tensors, where=str(path))
    preparation = Preparation.from_dict(stored.state["preparation"])
    return TrainedNetwork(module.eval(), architecture, preparation)


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    found = sorted(path.glob(f"train/*/{WEIGHTS}"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(f.parent) for f in found)
        raise UserError(f"{path}: holds several networks; name one: {names}")
    raise UserError(f"{path}: no {WEIGHTS} in here; is the training finished?")
