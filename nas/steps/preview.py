"""What a run would do: each step's folder, size and disk, without training or measuring anything.

Data is opened, so that what is missing is said now; this machine's latency table is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nas.recipe.experiment import Experiment, Training
from nas.recipe.strategies import open_strategy
from nas.recipe.tasks import open_task
from nas.runs.folder import SEARCH, TRAINING, RunFolder, StepFolder, check_claim
from nas.steps.search import check_evaluator, trains_first
from nas.tasks.base import Task
from nas.training.distributed import ALONE
from nas.training.loop import steps_of_epoch
from search_spaces import Architecture, space_of
from supernet import CompactNetwork, Supernet

SLOTS = {"sgd": 1, "nesterov": 1, "momentum": 1, "lion": 1}
"""Optimizer → numbers that it keeps beside each weight; two for all others."""


@dataclass(frozen=True)
class Planned:
    """A step that would run. ``disk_bytes`` is what it leaves, checkpoints included, at most;
    ``macs`` and ``params`` are of the largest network that it may be of."""

    step: str
    folder: str
    state: str
    says: str
    updates: int | None = None
    images: int | None = None
    macs: int | None = None
    params: int | None = None
    disk_bytes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def preview(
    experiment: Experiment,
    out: Path,
    steps: Sequence[str] = ("supernet", "search", "train"),
    *,
    search: str = SEARCH,
    trainings: Sequence[str] = (TRAINING,),
    architecture: Architecture | None = None,
    resume: bool = False,
) -> list[Planned]:
    """The steps that a command would run.

    Args:
        experiment: as the command would run it.
        out: the run folder.
        steps: of the three.
        search: its name.
        trainings: their names.
        architecture: that would be trained; None where a search is to find it.
        resume: as the command's.

    Raises:
        UserError: what the command would refuse in the recipe, the data or the folders.
    """
    folder = RunFolder(out)
    found = []
    task = open_task(experiment)
    for step in steps:
        if step == "supernet" and ("search" not in steps or trains_first(experiment)):
            found.append(_supernet(experiment, folder.supernet, task, resume))
        elif step == "search":
            found.append(_search(experiment, folder.search(search), resume))
        elif step == "train":
            found += [
                _training(experiment, folder.training(name), task, architecture, resume)
                for name in trainings
            ]
    return found


def _supernet(experiment: Experiment, folder: StepFolder, task: Task, resume: bool) -> Planned:
    settings, space = experiment.supernet, experiment.search_space()
    strategy = open_strategy(settings.strategy, experiment.code_folder)
    largest = space.describe(space.largest())
    return Planned(
        "super-network",
        **_where(folder, experiment, ("supernet",), resume),
        **_size(Supernet(space), task, settings),
        macs=largest.macs,
        params=largest.params,
        says=f"{space.name}, {settings.epochs} epochs in batches of {settings.batch_size}, "
        f"strategy {settings.strategy.name} ({strategy.forwards} passes a step)",
    )


def _search(experiment: Experiment, folder: StepFolder, resume: bool) -> Planned:
    section = experiment.search
    check_evaluator(experiment)
    priced = section.table or section.device or "host"
    on = f" on {priced}" if section.metric == "latency" else ""
    budgets = ", ".join([section.budget, *section.constraints])
    return Planned(
        "search",
        **_where(folder, experiment, ("supernet", "search"), resume),
        says=f"{section.optimizer}: {section.metric}{on} within {budgets}, "
        f"{section.workers} worker{'s' if section.workers > 1 else ''}",
    )


def _training(
    experiment: Experiment,
    folder: StepFolder,
    task: Task,
    architecture: Architecture | None,
    resume: bool,
) -> Planned:
    settings = experiment.train
    space = experiment.search_space() if architecture is None else space_of(architecture)
    network = space.describe(architecture or space.largest())
    what = "at most the largest network" if architecture is None else space.name
    how = f"{settings.epochs} epochs in batches of {settings.batch_size}"
    return Planned(
        "training",
        **_where(folder, experiment, ("train",), resume),
        **_size(CompactNetwork(network), task, settings),
        macs=network.macs,
        params=network.params,
        says=f"{folder.name}: {what}, {how}",
    )


def _where(
    folder: StepFolder, experiment: Experiment, sections: Sequence[str], resume: bool
) -> dict[str, Any]:
    finished = check_claim(folder, experiment, sections, resume=resume)
    going_on = folder.interrupted or folder.study.exists()
    state = "finished, kept" if finished else "goes on" if going_on else "new"
    return {"folder": str(folder.path), "state": state}


def _size(module: nn.Module, task: Task, settings: Training) -> dict[str, Any]:
    """Steps, images, and bytes: weights, and two checkpoints of weights, average and optimizer."""
    steps = settings.epochs * steps_of_epoch(task, settings, ALONE)
    state = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    plain = settings.optimizer == "sgd" and not settings.momentum
    slots = 0 if plain else SLOTS.get(settings.optimizer, 2)
    checkpoint = state * (2 if settings.ema else 1) + slots * weights
    return {
        "updates": steps,
        "images": steps * settings.batch_size,
        "disk_bytes": state + 2 * checkpoint,
    }
