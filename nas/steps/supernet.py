"""Step 1: the super-network."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment
from nas.recipe.optimizers import check_optimizers
from nas.recipe.strategies import open_strategy
from nas.runs.folder import RunFolder, claim
from nas.runs.results import SupernetResult
from nas.runs.weights import Preparation, save_supernet, start_encoder
from nas.steps.common import say_encoder, start_outputs
from nas.steps.fit import Job, fit, step
from nas.tasks.base import SplitScores
from nas.training.evaluation import evaluate_subnetworks
from nas.training.passes import Passes, Position, Probe
from search_spaces import SearchSpace
from supernet import Supernet
from supernet.strategies import Strategy


def train_supernet(
    experiment: Experiment, out: Path, *, resume: bool = False, reporter: Reporter = SILENT
) -> SupernetResult:
    """Step 1: train the super-network into ``out/supernet``.

    Raises:
        UserError: the folder holds something else; settings that do not fit; broken data.
        Stopped: a signal came, the checkpoint is written.
    """
    folder = RunFolder(out).supernet
    plan = open_strategy(experiment.supernet.strategy, experiment.code_folder)
    check_optimizers(experiment.search, experiment.code_folder)
    return step(
        experiment,
        experiment.supernet,
        folder,
        SupernetResult,
        lambda job: _train(job, plan),
        claimed=lambda: claim(folder, experiment, ("supernet",), resume=resume),
        resume=resume,
        reporter=reporter,
    )


def _train(job: Job, plan: Strategy) -> SupernetResult:
    experiment, task = job.experiment, job.task
    space, settings = experiment.search_space(), experiment.supernet
    module = Supernet(space, dropout=settings.dropout)
    start_outputs(module, task)
    encoder = None
    if settings.encoder is not None:
        path = settings.encoder
        encoder = job.ranks.everywhere(lambda: start_encoder(module, path, task=task))
        say_encoder(encoder, job.reporter)

    def store(trained: nn.Module, common: Mapping[str, Any]) -> SupernetResult:
        save_supernet(job.folder.weights, trained, space, Preparation.of(task))
        return SupernetResult(
            **common,
            space=space.name,
            space_fingerprint=space.fingerprint,
            scores=common["history"][-1].get("scores", {}),
        )

    return fit(
        job,
        module,
        SupernetResult,
        store,
        encoder=encoder,
        probe=_probe(job, space),
        probe_epochs=settings.probe_epochs,
        called="super-network",
        passes=subnetwork_passes(plan, experiment.seed),
        forwards=plan.forwards,
    )


def _probe(job: Job, space: SearchSpace) -> Probe:
    """Scores of the largest, the smallest and a few random sub-networks, always the same."""
    source = random.Random(f"probes/{job.experiment.seed}")
    probed = {"largest": space.largest(), "smallest": space.smallest()} | {
        f"random{i}": space.random(source) for i in range(job.experiment.supernet.probes)
    }
    search = job.experiment.search

    def probe(network: nn.Module) -> Mapping[str, SplitScores]:
        assert isinstance(network, Supernet)
        calibration = job.task.calibration(search.recalibration_images)
        return evaluate_subnetworks(
            network, probed, job.task, calibration, batch_size=search.batch_size
        )

    return probe


def subnetwork_passes(plan: Strategy, seed: int) -> Passes:
    """The forward passes of a step: sub-networks as the strategy draws them."""

    def passes(
        module: nn.Module, images: Tensor, targets: Tensor, position: Position
    ) -> Iterator[tuple[Tensor, Tensor, float]]:
        assert isinstance(module, Supernet)
        generator = random.Random(f"subnetworks/{seed}/{position.epoch}/{position.step}")
        yield from plan.passes(
            module, images, targets, position.progress, generator, position.share
        )

    return passes
