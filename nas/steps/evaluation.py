"""The score of any trained network, also of the file that ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.export.running import ExportedFile, is_exported
from nas.recipe.experiment import Experiment
from nas.recipe.tasks import open_task
from nas.runs.results import EvaluateResult
from nas.runs.weights import load_network
from nas.steps.common import prepare
from nas.steps.deploy import fitting_task
from nas.tasks.base import Task
from nas.training.evaluation import score_outputs
from search_spaces import UserError, unknown

SPLITS = ("test", "holdout")


def evaluate_network(experiment: Experiment, path: Path, *, split: str = "test") -> EvaluateResult:
    """The score of a trained network on a split of the experiment's task.

    An exported file is run as it will be where it ships: a ``.tflite`` in LiteRT's interpreter.

    Args:
        experiment: whose task's images it is scored on.
        path: a run, a ``train/<name>`` folder, a weights file or an exported file.
        split: ``test`` or ``holdout``.

    Raises:
        UserError: no such network or split, or one that does not fit the task.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    device = prepare(experiment)
    opened = _opened_file if is_exported(path) else _opened_weights
    network, task, facts = opened(experiment, path, split, device)
    found = score_outputs(
        network,
        task,
        task.test if split == "test" else task.holdout,
        batch_size=experiment.search.batch_size,
        device=None if is_exported(path) else device,
    )
    return EvaluateResult(
        experiment=experiment.name,
        task=task.name,
        seed=experiment.seed,
        threads=torch.get_num_threads(),
        accelerator=device.type,
        torch=torch.__version__,
        network=str(path),
        score=found.score,
        loss=found.loss,
        images=found.images,
        details=found.details,
        **facts,
    )


_Opened = tuple[Callable[[Tensor], Any], Task, dict[str, Any]]


def _opened_weights(
    experiment: Experiment, path: Path, split: str, device: torch.device
) -> _Opened:
    trained = load_network(path)
    task = fitting_task(experiment, trained, path)
    if split == "holdout":
        trained.preparation.check_holdout(task, path)
    module = trained.module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module, task, {"macs": module.network.macs, "params": module.network.params}


def _opened_file(experiment: Experiment, path: Path, split: str, device: torch.device) -> _Opened:
    if split == "holdout":
        raise UserError(
            f"{path}: an exported file does not say which images were held out of its training; "
            "use --split test, or its weights"
        )
    file, space = ExportedFile(path), experiment.search_space()
    shape = (space.input_channels, space.resolution, space.resolution)
    task = open_task(experiment)
    file.check(task, shape)
    facts = {"precision": file.precision, "bytes": file.bytes, "format": "tflite"}
    return file.for_images_of(task), task, facts
