"""From a run to a deployable file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lut.cost import Precision
from nas.export import ImageMetadata
from nas.export import export as write
from nas.recipe.experiment import Experiment, Quantization
from nas.recipe.tasks import check_task_name, open_task
from nas.runs.folder import step_folder
from nas.runs.weights import TrainedNetwork, load_network
from nas.steps.common import check_input
from nas.tasks.base import Task
from search_spaces import UserError, space_of


def metadata_of(trained: TrainedNetwork) -> ImageMetadata:
    """What an application must know to use the network."""
    prepared = trained.preparation
    return ImageMetadata(
        mean=prepared.mean,
        std=prepared.std,
        resolution=trained.architecture.resolution,
        labels=prepared.labels,
        task=prepared.task,
    )


def export_network(
    path: Path,
    *,
    format: str,
    out: Path | None = None,
    precision: Precision = "float32",
    experiment: Experiment | None = None,
) -> dict[str, Any]:
    """Write the trained network of a run in a format; the default place is beside its weights.

    Args:
        path: a run, a ``train/<name>`` folder or a weights file.
        format: of the file.
        out: the file.
        precision: of weights and activations.
        experiment: whose training images int8 is calibrated with.

    Raises:
        UserError: no trained network there, unknown format, int8 without its experiment or with
            one of another task.
    """
    trained = load_network(path)
    images: Sequence[Tensor] = ()
    if precision == "int8":
        if experiment is None:
            raise UserError("int8 needs calibration images: name the recipe with --experiment")
        images = calibration_images(experiment, fitting_task(experiment, trained, path))
    written = write(
        trained.module,
        out or exported_path(step_folder(path).exported, precision),
        format=format,
        metadata=metadata_of(trained),
        architecture=trained.architecture,
        precision=precision,
        images=images,
    )
    return {
        "schema": 1,
        "file": str(written),
        "format": format,
        "precision": precision,
        "bytes": written.stat().st_size,
        "macs": trained.module.network.macs,
        "params": trained.module.network.params,
    }


def exported_path(path: Path, precision: Precision) -> Path:
    """The path of a network's file in a precision, both without a suffix."""
    return path if precision == "float32" else path.with_name(f"{path.name}-{precision}")


def fitting_task(experiment: Experiment, trained: TrainedNetwork, path: Path) -> Task:
    """The experiment's task, if the network is one for it.

    Raises:
        UserError: another input, task or other labels; the data cannot be read.
    """
    check_input(experiment, space_of(trained.architecture))
    check_task_name(experiment, trained.preparation.task, str(path))
    task = open_task(experiment)
    if trained.preparation.task != task.name:
        raise UserError(
            f"{path}: a network of task {trained.preparation.task!r}, the experiment's is "
            f"{task.name!r}"
        )
    if trained.preparation.labels != tuple(task.labels):
        raise UserError(f"{path}: its classes have other names than those of the data")
    return task


def calibration_images(experiment: Experiment, task: Task) -> Sequence[Tensor]:
    """The training images that the recipe takes ranges from: batches (N, C, H, W)."""
    settings = experiment.train.quantization or Quantization()
    return task.calibration(settings.calibration_images)
