"""Step 3: one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.files import replacing, write_json
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment
from nas.runs.folder import TRAINING, RunFolder, StepFolder, claim
from nas.runs.networks import role_of
from nas.runs.results import Encoder, Reference, Role, Shipped, TrainResult
from nas.runs.weights import Preparation, save_network, start_encoder
from nas.steps.common import check_input, say_encoder, start_outputs
from nas.steps.fit import Job, fit, step
from nas.steps.shipping import Tuned, ship, tune
from nas.steps.start import inherited, start_of
from nas.tasks.base import SplitScores, Task
from nas.training.evaluation import evaluate
from search_spaces import Architecture, UserError, space_of
from supernet import CompactNetwork, Supernet, extract, recalibrate

EXAMPLES = 4
"""Images that are drawn after a training."""


@dataclass(frozen=True)
class Purpose:
    """Why a network is trained, which its result then says.

    ``baseline`` and ``latency_predicted_ms`` as in `TrainResult`.
    """

    role: Role
    baseline: Mapping[str, str] | None = None
    latency_predicted_ms: float | None = None


def train_network(
    experiment: Experiment,
    architecture: Architecture,
    out: Path,
    *,
    name: str = TRAINING,
    purpose: Purpose | None = None,
    supernet: Path | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
) -> TrainResult:
    """Step 3: train one network into ``out/train/<name>`` and score it on the test split.

    Args:
        experiment: its ``train`` section says how.
        architecture: of any space whose input and outputs fit the task.
        out: the run folder.
        name: of the folder.
        purpose: what the network is in a comparison; by default what it is to the run's searches.
        supernet: whose weights are inherited where the recipe says so: a super-network, or a
            trained network that is cut to this one; by default that of `start_of`.
        resume: go on with what is there.
        reporter: shows progress.

    Raises:
        UserError: as `train_supernet`; the folder was used for another architecture.
        Stopped: a signal came, the checkpoint is written.
    """
    folder = RunFolder(out).training(name)
    check_input(experiment, space_of(architecture))

    def claimed() -> bool:
        _refuse_other_architecture(folder, architecture)
        finished = claim(folder, experiment, ("train",), resume=resume)
        if not finished:
            write_json(folder.architecture, architecture.to_dict())
        return finished

    def train(job: Job) -> TrainResult:
        start = None
        if experiment.train.weights == "inherited":
            start = job.ranks.everywhere(lambda: start_of(experiment, supernet, out))
        known = purpose or Purpose(role_of(architecture, RunFolder(out)))
        return _train(job, architecture, start, known)

    return step(
        experiment,
        experiment.train,
        folder,
        TrainResult,
        train,
        claimed=claimed,
        resume=resume,
        reporter=reporter,
        architecture=architecture.to_dict(),
    )


def _train(
    job: Job, architecture: Architecture, start: Path | None, purpose: Purpose
) -> TrainResult:
    settings, task = job.experiment.train, job.task
    module, encoder = job.ranks.everywhere(
        lambda: _start(job.experiment, architecture, task, start, job.reporter)
    )
    batch_size = job.experiment.search.batch_size
    tuned = Tuned()

    def finish(trained: nn.Module) -> None:
        nonlocal tuned
        if settings.quantization is not None:
            tuned = tune(job, trained, settings.quantization)

    def probe(trained: nn.Module) -> Mapping[str, SplitScores]:
        return {"network": evaluate(trained, task, task.holdout, batch_size=batch_size)}

    def store(trained: nn.Module, common: Mapping[str, Any]) -> TrainResult:
        save_network(job.folder.weights, trained, architecture, Preparation.of(task))
        test = evaluate(trained, task, task.test, batch_size=batch_size)
        holdout = evaluate(trained, task, task.holdout, batch_size=batch_size)
        draw_examples(trained, task, job.folder, len(common["history"]))
        shipped: tuple[Shipped, ...] = ()
        if settings.quantization is not None:
            assert isinstance(trained, CompactNetwork)
            shipped = ship(job, trained, architecture, tuned)
        return _result(
            job, architecture, purpose, test, holdout, shipped=shipped, tuned=tuned, common=common
        )

    return fit(
        job,
        module,
        TrainResult,
        store,
        encoder=encoder,
        probe=probe,
        probe_epochs=settings.validate_epochs or settings.epochs,
        called=job.folder.name,
        compiled=settings.compile,
        finish=finish,
    )


def _result(
    job: Job,
    architecture: Architecture,
    purpose: Purpose,
    test: SplitScores,
    holdout: SplitScores,
    *,
    shipped: tuple[Shipped, ...],
    tuned: Tuned,
    common: Mapping[str, Any],
) -> TrainResult:
    network = space_of(architecture).describe(architecture)
    return TrainResult(
        **{**common, "seconds": common["seconds"] + tuned.seconds},
        name=job.folder.name,
        role=purpose.role,
        weights=job.experiment.train.weights,
        architecture=architecture,
        macs=network.macs,
        params=network.params,
        score=test.score,
        scores={"test": test.score, "holdout": holdout.score},
        beside=test.beside,
        details=test.details,
        references={
            name: Reference(found.score, found.details)
            for name, found in job.task.references().items()
        },
        loss=test.loss,
        baseline=purpose.baseline,
        latency_predicted_ms=purpose.latency_predicted_ms,
        shipped=shipped,
    )


def _start(
    experiment: Experiment,
    architecture: Architecture,
    task: Task,
    supernet: Path | None,
    reporter: Reporter,
) -> tuple[CompactNetwork, Encoder | None]:
    """The network as the training begins, and what it was started from."""
    settings, space = experiment.train, space_of(architecture)
    if settings.weights == "inherited":
        module = inherited(supernet, architecture, experiment, task)
        recalibrate(module, task.calibration(experiment.search.recalibration_images))
        module.dropout = settings.dropout
        return module, None
    if settings.encoder is not None:
        started = Supernet(space, dropout=settings.dropout)
        start_outputs(started, task)
        encoder = start_encoder(started, settings.encoder, task=task)
        say_encoder(encoder, reporter)
        return extract(started, architecture), encoder
    module = CompactNetwork(space.describe(architecture), dropout=settings.dropout)
    start_outputs(module, task)
    return module, None


@torch.no_grad()
def draw_examples(module: nn.Module, task: Task, folder: StepFolder, epoch: int) -> None:
    """A few test images with what the network makes of them, where that can be seen.

    Into ``examples.png``, from where the report takes it, and into TensorBoard.
    """
    from torch.utils.tensorboard import SummaryWriter

    images, targets = next(iter(task.test.batches(EXAMPLES)))
    module.eval()
    outputs = module(images.to(next(module.parameters()).device))
    figure = task.pictures(images, targets, outputs)
    if figure is None:
        return
    with replacing(folder.examples) as file:
        figure.savefig(file, format="png", dpi=70)
    with SummaryWriter(str(folder.path)) as events:
        events.add_figure("test/examples", figure, epoch)


def _refuse_other_architecture(folder: StepFolder, architecture: Architecture) -> None:
    path = folder.architecture
    if path.exists() and Architecture.load(path) != architecture:
        raise UserError(
            f"{folder.path}: holds the training of another architecture; choose another --name or "
            "--out"
        )
