"""Step 1: the super-network."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.config import Experiment
from nas.evaluation import evaluate_subnetworks
from nas.files import read_json
from nas.progress import SILENT, Reporter
from nas.runs import RESULT, claim
from nas.steps.common import cost, facts, finish, prepare, say_encoder
from nas.tasks.base import Evaluation
from nas.tasks.registry import open_task
from nas.training.loop import Passes, Position, Trainer
from nas.weights import WEIGHTS, Preparation, save_supernet, start_encoder
from supernet import Supernet
from supernet.strategies import Strategy, strategy


def train_supernet(
    experiment: Experiment, out: Path, *, resume: bool = False, reporter: Reporter = SILENT
) -> dict[str, Any]:
    """Step 1: train the super-network into ``out/supernet``.

    Raises:
        UserError: the folder holds something else; settings that do not fit; broken data.
        Stopped: a signal came, the checkpoint is written.
    """
    folder = out / "supernet"
    plan = strategy(experiment.supernet.strategy.name, **experiment.supernet.strategy.settings)
    if claim(folder, experiment, ("supernet",), resume=resume):
        return read_json(folder / RESULT)
    device = prepare(experiment)
    space = experiment.search_space()
    task = open_task(experiment)
    settings = experiment.supernet
    torch.manual_seed(experiment.seed)
    module = Supernet(space, dropout=settings.dropout)
    encoder = None
    if settings.encoder is not None:
        encoder = start_encoder(module, settings.encoder)
        say_encoder(encoder, reporter)
    source = random.Random(f"probes/{experiment.seed}")
    probed = {"largest": space.largest(), "smallest": space.smallest()} | {
        f"random{i}": space.random(source) for i in range(settings.probes)
    }
    search = experiment.search
    calibration = task.calibration(search.recalibration_images, search.batch_size)

    def probe(network: nn.Module) -> Mapping[str, Evaluation]:
        assert isinstance(network, Supernet)
        return evaluate_subnetworks(
            network, probed, task, calibration, batch_size=search.batch_size
        )

    trainer = Trainer(
        module,
        task,
        settings,
        folder,
        seed=experiment.seed,
        passes=subnetwork_passes(plan, experiment.seed),
        probe=probe,
        probe_epochs=settings.probe_epochs,
        device=device,
        precision=experiment.precision,
        kind="super-network",
        reporter=reporter,
    )
    state = trainer.run(resume=resume)
    save_supernet(folder / WEIGHTS, trainer.trained, space, Preparation.of(task))
    result = {
        **facts(experiment, task, "supernet", device),
        **cost(state.seconds, state),
        "encoder": None if encoder is None else encoder.to_dict(),
        "space": space.name,
        "space_fingerprint": space.fingerprint,
        "scores": state.history[-1].get("scores", {}),
        "history": state.history,
    }
    return finish(folder, result)


def subnetwork_passes(plan: Strategy, seed: int) -> Passes:
    """The forward passes of a step: sub-networks as the strategy draws them."""

    def passes(
        module: nn.Module, images: Tensor, targets: Tensor, position: Position
    ) -> Iterator[tuple[Tensor, Tensor, float]]:
        assert isinstance(module, Supernet)
        generator = random.Random(f"subnetworks/{seed}/{position.epoch}/{position.step}")
        yield from plan.passes(module, images, targets, position.progress, generator)

    return passes
