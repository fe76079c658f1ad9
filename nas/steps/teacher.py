"""Knowledge distillation: a trained network's outputs as targets beside the labels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nas.recipe.experiment import Experiment, Training
from nas.runs.weights import load_network
from nas.steps.common import check_input
from nas.tasks.base import Task
from nas.training.passes import Passes, Position
from search_spaces import UserError, space_of
from supernet.strategies.distillation import mixed


def with_teacher(
    passes: Passes,
    experiment: Experiment,
    settings: Training,
    task: Task,
    device: torch.device,
) -> Passes:
    """The passes, with targets of which a share is the teacher's where the recipe names one.

    Hinton et al., "Distilling the knowledge in a neural network", 2015, at temperature 1. The
    teacher sees the same augmented images.

    Raises:
        UserError: no such network, or one of another task, input or other classes.
    """
    if settings.teacher is None:
        return passes
    trained = load_network(settings.teacher)
    check_input(experiment, space_of(trained.architecture))
    if trained.preparation.task != task.name:
        raise UserError(
            f"teacher {settings.teacher}: a network of task {trained.preparation.task!r}, the "
            f"experiment's is {task.name!r}"
        )
    if trained.preparation.labels != tuple(task.labels):
        raise UserError(f"teacher {settings.teacher}: its classes have other names than the data's")
    teacher = trained.module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    share = settings.teacher_share

    def taught(
        module: nn.Module, images: Tensor, targets: Tensor, position: Position
    ) -> Iterator[tuple[Tensor, Tensor, float]]:
        with torch.no_grad():
            outputs = teacher(images).float()
        yield from passes(module, images, mixed(targets, outputs, share), position)

    return taught
