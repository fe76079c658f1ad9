"""Tasks by name."""

from __future__ import annotations

from nas.recipe.experiment import Experiment
from nas.recipe.named import Kind
from nas.tasks.base import Task
from search_spaces import UserError

TASKS = {
    "digits": "nas.tasks.digits:digits",
    "cifar10": "nas.tasks.cifar10:cifar10",
    "image_folder": "nas.tasks.image_folder:image_folder",
    "nyu_depth": "nas.tasks.depth:nyu_depth",
    "depth_folder": "nas.tasks.depth:depth_folder",
    "rooms": "nas.tasks.depth:rooms",
}
"""Name → where the function that opens it is found; imported only when it is used."""

COMMON = ("data", "resolution", "channels", "classes", "seed", "holdout")
"""What every task's function is called with, besides its settings."""


def open_task(experiment: Experiment) -> Task:
    """The task of an experiment, its data read, fitted to the experiment's search space.

    A task of the user's own (``FILE.py:FUNCTION``) is opened with the same arguments (`COMMON`).

    Raises:
        UserError: unknown name or setting; data missing, empty, or of other classes; a function
            that returns no `Task`, or one of another input.
    """
    section = experiment.task
    kind = Kind("task", "task", TASKS, COMMON, Task, experiment.code_folder)
    settings = kind.settings(section.name, section.settings)  # before a space is built
    space = experiment.search_space()
    task: Task = kind.build(
        section.name,
        settings,
        data=section.data,
        resolution=space.resolution,
        channels=space.input_channels,
        classes=space.classes,
        seed=experiment.seed if section.seed is None else section.seed,
        holdout=section.holdout,
    )
    for word in ("resolution", "input_channels", "classes"):
        there, here = getattr(task, word), getattr(space, word)
        if there != here:
            raise UserError(
                f"task {section.name} has {word} = {there}, the search space {word} = {here}"
            )
    return task
