"""Step 3: one network, and the score of any trained network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.files import read_json, replacing, write_json
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment
from nas.recipe.tasks import open_task
from nas.runs.folder import RESULT, RESULT_SCHEMA, claim
from nas.runs.weights import (
    WEIGHTS,
    Encoder,
    Preparation,
    load_network,
    save_network,
    start_encoder,
)
from nas.steps.common import (
    check_input,
    clean,
    cost,
    facts,
    finish,
    finite,
    prepare,
    ranks_of,
    say_encoder,
    skipped_images,
    start_outputs,
)
from nas.steps.start import inherited, start_of
from nas.steps.teacher import with_teacher
from nas.tasks.base import Evaluation, Task
from nas.training.distributed import Ranks
from nas.training.evaluation import evaluate
from nas.training.loop import Trainer, single_pass
from search_spaces import Architecture, UserError, space_of, unknown
from supernet import CompactNetwork, Supernet, extract, recalibrate

EXAMPLES = 4
"""Images that are drawn after a training."""

EXAMPLES_FILE = "examples.png"


def train_network(
    experiment: Experiment,
    architecture: Architecture,
    out: Path,
    *,
    name: str = "discovered",
    supernet: Path | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
    beside: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Step 3: train one network into ``out/train/<name>`` and score it on the test split.

    Args:
        experiment: its ``train`` section says how.
        architecture: of any space whose input and outputs fit the task.
        out: the run folder.
        name: of the folder.
        supernet: whose weights are inherited where the recipe says so: a super-network, or a
            trained network that is cut to this one; by default that of `start_of`.
        resume: go on with what is there.
        reporter: shows progress.
        beside: further fields of its result.

    Raises:
        UserError: as `train_supernet`; the folder was used for another architecture.
        Stopped: a signal came, the checkpoint is written.
    """
    folder = out / "train" / name
    space = space_of(architecture)
    check_input(experiment, space)
    device = prepare(experiment)

    def claimed() -> bool:
        _refuse_other_architecture(folder, architecture)
        finished = claim(folder, experiment, ("train",), resume=resume)
        if not finished:
            write_json(folder / "architecture.json", architecture.to_dict())
        return finished

    with ranks_of(experiment, device, resume=resume, architecture=architecture.to_dict()) as ranks:
        if ranks.on_first(claimed):
            result: dict[str, Any] = ranks.on_first(lambda: read_json(folder / RESULT))
        else:
            shared = None
            if experiment.train.weights == "inherited":
                shared = ranks.everywhere(lambda: start_of(experiment, supernet, out))
            result = _train(
                experiment,
                architecture,
                folder,
                shared,
                device,
                ranks,
                resume,
                reporter,
                beside or {},
            )
    return result


def _train(
    experiment: Experiment,
    architecture: Architecture,
    folder: Path,
    supernet: Path | None,
    device: torch.device,
    ranks: Ranks,
    resume: bool,
    reporter: Reporter,
    beside: Mapping[str, Any],
) -> dict[str, Any]:
    settings = experiment.train
    network = space_of(architecture).describe(architecture)
    task = ranks.everywhere(lambda: open_task(experiment))
    torch.manual_seed(experiment.seed)
    module, encoder = ranks.everywhere(
        lambda: _start(experiment, architecture, task, supernet, reporter)
    )
    batch_size = experiment.search.batch_size

    def probe(trained: nn.Module) -> Mapping[str, Evaluation]:
        return {"network": evaluate(trained, task, task.holdout, batch_size=batch_size)}

    trainer = Trainer(
        module,
        task,
        settings,
        folder,
        seed=experiment.seed,
        passes=ranks.everywhere(
            lambda: with_teacher(single_pass, experiment, settings, task.labels, device)
        ),
        probe=probe,
        probe_epochs=settings.validate_epochs or settings.epochs,
        device=device,
        precision=experiment.precision,
        kind=folder.name,
        ranks=ranks,
        reporter=reporter,
    )
    if settings.compile:
        module.compile()
    state = trainer.run(resume=resume)
    skipped = skipped_images(task, ranks)

    def store() -> dict[str, Any]:
        save_network(folder / WEIGHTS, trainer.trained, architecture, Preparation.of(task))
        test = evaluate(trainer.trained, task, task.test, batch_size=batch_size)
        holdout = evaluate(trainer.trained, task, task.holdout, batch_size=batch_size)
        draw_examples(trainer.trained, task, folder, state.epoch)
        return finish(
            folder,
            {
                **facts(experiment, task, "train", device),
                **cost(trainer),
                "skipped_images": skipped,
                "name": folder.name,
                "weights": settings.weights,
                "encoder": None if encoder is None else encoder.to_dict(),
                "architecture": architecture.to_dict(),
                "macs": network.macs,
                "params": network.params,
                "score": test.score.to_dict(),
                "scores": {"test": test.score.to_dict(), "holdout": holdout.score.to_dict()},
                "beside": None if test.beside is None else test.beside.to_dict(),
                "details": test.details,
                "references": {
                    name: {"score": found.score.to_dict(), "details": found.details}
                    for name, found in task.references().items()
                },
                "loss": finite(test.loss),
                "history": state.history,
                **beside,
            },
        )

    result: dict[str, Any] = ranks.on_first(store)
    return result


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
def draw_examples(module: nn.Module, task: Task, folder: Path, epoch: int) -> None:
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
    with replacing(folder / EXAMPLES_FILE) as file:
        figure.savefig(file, format="png", dpi=70)
    with SummaryWriter(str(folder)) as events:
        events.add_figure("test/examples", figure, epoch)


def _refuse_other_architecture(folder: Path, architecture: Architecture) -> None:
    path = folder / "architecture.json"
    if path.exists() and Architecture.load(path) != architecture:
        raise UserError(
            f"{folder}: holds the training of another architecture; choose another --name or --out"
        )


def evaluate_network(experiment: Experiment, path: Path, *, split: str = "test") -> dict[str, Any]:
    """The score of a trained network on a split of the experiment's task.

    Raises:
        UserError: no such network or split, or one that does not fit the task.
    """
    if split not in ("test", "holdout"):
        raise unknown("split", split, ("test", "holdout"))
    trained = load_network(path)
    check_input(experiment, space_of(trained.architecture))
    if trained.preparation.task != experiment.task.name:
        raise UserError(
            f"{path}: a network of task {trained.preparation.task!r}, "
            f"the experiment's is {experiment.task.name!r}"
        )
    device = prepare(experiment)
    task = open_task(experiment)
    if trained.preparation.labels != tuple(task.labels):
        raise UserError(f"{path}: its classes have other names than those of the data")
    if split == "holdout":
        trained.preparation.check_holdout(task, path)
    module = trained.module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = evaluate(
        module,
        task,
        task.test if split == "test" else task.holdout,
        batch_size=experiment.search.batch_size,
    )
    return {
        "schema": RESULT_SCHEMA,
        "network": str(path),
        "score": found.score.to_dict(),
        "loss": finite(found.loss),
        "images": found.images,
        "details": clean(found.details),
        "macs": module.network.macs,
        "params": module.network.params,
    }
