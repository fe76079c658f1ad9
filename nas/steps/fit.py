"""What a training of a super-network and one of a single network have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from nas.progress import Reporter
from nas.recipe.experiment import Experiment, Training
from nas.recipe.tasks import open_task
from nas.runs.folder import StepFolder
from nas.runs.results import Encoder, SupernetResult, TrainResult, load_result, parse_result
from nas.steps.common import cost, facts, prepare, ranks_of, skipped_images
from nas.steps.teacher import with_teacher
from nas.tasks.base import Task
from nas.training.distributed import Ranks
from nas.training.loop import Trainer
from nas.training.passes import Passes, Probe, single_pass

R = TypeVar("R", SupernetResult, TrainResult)


@dataclass(frozen=True)
class Job:
    """One training: what is trained how, where it is kept, and the processes that do it."""

    experiment: Experiment
    settings: Training
    folder: StepFolder
    task: Task
    device: torch.device
    ranks: Ranks
    resume: bool
    reporter: Reporter


def step(
    experiment: Experiment,
    settings: Training,
    folder: StepFolder,
    kind: type[R],
    train: Callable[[Job], R],
    *,
    claimed: Callable[[], bool],
    resume: bool,
    reporter: Reporter,
    **further: Any,
) -> R:
    """Train into a folder, unless that is done.

    Args:
        experiment: the recipe.
        settings: its section of this training.
        folder: of the step.
        kind: of result.
        train: trains; every rank calls it, and what it returns counts on the first.
        claimed: takes the folder, on the first rank; True where the step is finished already.
        resume: go on with what is there.
        reporter: shows progress.
        further: what all ranks have to agree on, beside the experiment.

    Raises:
        UserError: the folder holds something else; settings that do not fit; broken data.
        Stopped: a signal came, the checkpoint is written.
    """
    device = prepare(experiment)
    with ranks_of(experiment, device, resume=resume, **further) as ranks:
        if ranks.on_first(claimed):
            data = ranks.on_first(lambda: load_result(folder.result, kind).to_dict())
            return parse_result(data, folder.result, kind)
        task = ranks.everywhere(lambda: open_task(experiment))
        torch.manual_seed(experiment.seed)
        job = Job(experiment, settings, folder, task, device, ranks, resume, reporter)
        return train(job)


def fit(
    job: Job,
    module: nn.Module,
    kind: type[R],
    store: Callable[[nn.Module, Mapping[str, Any]], R],
    *,
    encoder: Encoder | None,
    probe: Probe,
    probe_epochs: int,
    called: str,
    passes: Passes = single_pass,
    forwards: int = 1,
    compiled: bool = False,
    finish: Callable[[nn.Module], None] | None = None,
) -> R:
    """Train a module to its end and write its weights and its result.

    Args:
        job: see `step`.
        module: as it begins.
        kind: of result.
        store: writes the trained module's weights and makes its result of the fields that all
            trainings have; called on the first rank.
        encoder: what the module was started from.
        probe: as `Trainer`'s, like the following.
        probe_epochs: 0 never.
        called: what the checkpoints are of.
        passes: the forward passes of a part of a batch.
        forwards: their number.
        compiled: by torch, before it is trained.
        finish: trains the trained module on, in place, before it is stored; every rank calls it.
    """
    ranks = job.ranks
    trainer = Trainer(
        module,
        job.task,
        job.settings,
        job.folder.path,
        seed=job.experiment.seed,
        passes=ranks.everywhere(
            lambda: with_teacher(passes, job.experiment, job.settings, job.task, job.device)
        ),
        forwards=forwards,
        probe=probe,
        probe_epochs=probe_epochs,
        device=job.device,
        precision=job.experiment.precision,
        kind=called,
        ranks=ranks,
        reporter=job.reporter,
    )
    if compiled:
        module.compile()
    state = trainer.run(resume=job.resume)
    if finish is not None:
        finish(trainer.trained)
    skipped = skipped_images(job.task, ranks)

    def stored() -> dict[str, Any]:
        common = {
            **facts(job.experiment, job.task, job.device),
            **cost(trainer),
            "skipped_images": skipped,
            "encoder": encoder,
            "history": tuple(state.history),
        }
        result = store(trainer.trained, common)
        result.write(job.folder.result)
        return result.to_dict()

    # what is returned is what a reader of the file gets
    return parse_result(ranks.on_first(stored), job.folder.result, kind)
