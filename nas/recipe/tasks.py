"""Tasks by name."""

from __future__ import annotations

from typing import Any

from nas.own_code import is_own
from nas.recipe.experiment import Experiment
from nas.recipe.named import Kind, lacking
from nas.tasks.base import Task
from search_spaces import SearchSpace, UserError

TASKS = {
    "digits": "nas.tasks.digits:digits",
    "cifar10": "nas.tasks.cifar10:cifar10",
    "image_folder": "nas.tasks.image_folder:image_folder",
    "nyu_depth": "nas.tasks.depth:nyu_depth",
    "depth_folder": "nas.tasks.depth:depth_folder",
    "rooms": "nas.tasks.depth:rooms",
    "segmentation_folder": "nas.tasks.segmentation:segmentation_folder",
    "rooms_segmentation": "nas.tasks.segmentation:rooms_segmentation",
}
"""Name → where the function that opens it is found; imported only when it is used."""

COMMON = ("data", "resolution", "channels", "classes", "seed", "holdout")
"""What every task's function is called with, besides its settings."""


def open_task(experiment: Experiment) -> Task:
    """The task of an experiment, its data read, fitted to the experiment's search space.

    A task of the user's own (``FILE.py:FUNCTION``) is opened with the same arguments (`COMMON`);
    what it returns is a `nas.tasks.own.OwnTask`, or a whole `Task`.

    Raises:
        UserError: unknown name or setting; data missing, empty, or of other classes; a function
            that returns something else, or a task of another input.
    """
    section = experiment.task
    kind = Kind("task", "task", TASKS, COMMON, None, experiment.code_folder)
    settings = kind.settings(section.name, section.settings)  # before a space is built
    space = experiment.search_space()
    seed = experiment.seed if section.seed is None else section.seed
    found = kind.build(
        section.name,
        settings,
        data=section.data,
        resolution=space.resolution,
        channels=space.input_channels,
        classes=space.classes,
        seed=seed,
        holdout=section.holdout,
    )
    task = _adapted(kind, experiment, space, seed, found)
    for word in ("resolution", "input_channels", "classes"):
        there, here = getattr(task, word), getattr(space, word)
        if there != here:
            raise UserError(
                f"task {section.name} has {word} = {there}, the search space {word} = {here}"
            )
    opened: Task = task
    return opened


def check_task_name(experiment: Experiment, trained_for: str, what: str) -> None:
    """Refuse a network of another task before data is read; that of an own task is not known yet.

    Raises:
        UserError: they differ.
    """
    name = experiment.task.name
    if not is_own(name) and trained_for != name:
        raise UserError(f"{what}: a network of task {trained_for!r}, the experiment's is {name!r}")


def _adapted(kind: Kind, experiment: Experiment, space: SearchSpace, seed: int, found: Any) -> Any:
    """What a task's function returned as a `Task`."""
    from nas.tasks.own import DatasetTask, OwnTask

    name = experiment.task.name
    if isinstance(found, OwnTask):
        return DatasetTask(
            name,
            found,
            resolution=space.resolution,
            channels=space.input_channels,
            outputs=space.describe(space.largest()).output_shapes,
            seed=seed,
            holdout=experiment.task.holdout,
        )
    if not is_own(name):
        return found
    if "train_batches" in lacking(found, Task) and not hasattr(found, "score_name"):
        raise UserError(
            f"task {name} returned {type(found).__name__}, expected nas.OwnTask(train, test, loss, "
            "score, …) (docs: own-task)"
        )
    kind.check_contract(name, found, Task)
    return found
