"""Step 1: the super-network."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.files import read_json
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment
from nas.recipe.strategies import open_strategy
from nas.recipe.tasks import open_task
from nas.runs.folder import RESULT, claim
from nas.runs.weights import WEIGHTS, Preparation, save_supernet, start_encoder
from nas.steps.common import (
    cost,
    facts,
    finish,
    prepare,
    ranks_of,
    say_encoder,
    skipped_images,
    start_outputs,
)
from nas.steps.teacher import with_teacher
from nas.tasks.base import Evaluation
from nas.training.distributed import Ranks
from nas.training.evaluation import evaluate_subnetworks
from nas.training.loop import Passes, Position, Trainer
from supernet import Supernet
from supernet.strategies import Strategy


def train_supernet(
    experiment: Experiment, out: Path, *, resume: bool = False, reporter: Reporter = SILENT
) -> dict[str, Any]:
    """Step 1: train the super-network into ``out/supernet``.

    Raises:
        UserError: the folder holds something else; settings that do not fit; broken data.
        Stopped: a signal came, the checkpoint is written.
    """
    folder = out / "supernet"
    plan = open_strategy(experiment.supernet.strategy, experiment.code_folder)
    device = prepare(experiment)
    with ranks_of(experiment, device, resume=resume) as ranks:
        if ranks.on_first(lambda: claim(folder, experiment, ("supernet",), resume=resume)):
            result: dict[str, Any] = ranks.on_first(lambda: read_json(folder / RESULT))
        else:
            result = _train(experiment, plan, folder, device, ranks, resume, reporter)
    return result


def _train(
    experiment: Experiment,
    plan: Strategy,
    folder: Path,
    device: torch.device,
    ranks: Ranks,
    resume: bool,
    reporter: Reporter,
) -> dict[str, Any]:
    space = experiment.search_space()
    task = ranks.everywhere(lambda: open_task(experiment))
    settings = experiment.supernet
    torch.manual_seed(experiment.seed)
    module = Supernet(space, dropout=settings.dropout)
    start_outputs(module, task)
    encoder = None
    if settings.encoder is not None:
        path = settings.encoder
        encoder = ranks.everywhere(lambda: start_encoder(module, path, task=task))
        say_encoder(encoder, reporter)
    source = random.Random(f"probes/{experiment.seed}")
    probed = {"largest": space.largest(), "smallest": space.smallest()} | {
        f"random{i}": space.random(source) for i in range(settings.probes)
    }
    search = experiment.search

    def probe(network: nn.Module) -> Mapping[str, Evaluation]:
        assert isinstance(network, Supernet)
        calibration = task.calibration(search.recalibration_images)
        return evaluate_subnetworks(
            network, probed, task, calibration, batch_size=search.batch_size
        )

    passes = subnetwork_passes(plan, experiment.seed)
    trainer = Trainer(
        module,
        task,
        settings,
        folder,
        seed=experiment.seed,
        passes=ranks.everywhere(
            lambda: with_teacher(passes, experiment, settings, task.labels, device)
        ),
        forwards=plan.forwards,
        probe=probe,
        probe_epochs=settings.probe_epochs,
        device=device,
        precision=experiment.precision,
        kind="super-network",
        ranks=ranks,
        reporter=reporter,
    )
    state = trainer.run(resume=resume)
    skipped = skipped_images(task, ranks)

    def store() -> dict[str, Any]:
        save_supernet(folder / WEIGHTS, trainer.trained, space, Preparation.of(task))
        return finish(
            folder,
            {
                **facts(experiment, task, "supernet", device),
                **cost(trainer),
                "skipped_images": skipped,
                "encoder": None if encoder is None else encoder.to_dict(),
                "space": space.name,
                "space_fingerprint": space.fingerprint,
                "scores": state.history[-1].get("scores", {}),
                "history": state.history,
            },
        )

    result: dict[str, Any] = ranks.on_first(store)
    return result


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
