"""Tasks by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable

from nas.recipe.experiment import Experiment
from nas.tasks.base import Task
from search_spaces import unknown

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
"""What every task's function takes beside settings of its own."""


def open_task(experiment: Experiment) -> Task:
    """The task of an experiment, its data read, fitted to the experiment's search space.

    Raises:
        UserError: unknown name or setting; data missing, empty, or of other classes.
    """
    section = experiment.task
    if section.name not in TASKS:
        raise unknown("task", section.name, TASKS)
    module, _, name = TASKS[section.name].partition(":")
    function: Callable[..., Task] = getattr(importlib.import_module(module), name)
    known = [p for p in inspect.signature(function).parameters if p not in COMMON]
    for key in section.settings:
        if key not in known:
            raise unknown(f"setting of task {section.name}", key, known)
    space = experiment.search_space()
    return function(
        data=section.data,
        resolution=space.resolution,
        channels=space.input_channels,
        classes=space.classes,
        seed=experiment.seed if section.seed is None else section.seed,
        holdout=section.holdout,
        **section.settings,
    )
