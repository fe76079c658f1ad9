"""The steps of the method as functions: what the commands call, and a program may.

Each writes its own folder (``config.yaml``, ``result.json``, weights, TensorBoard events,
checkpoints) and returns what its ``result.json`` holds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.config import Experiment
from nas.evaluation import evaluate, evaluate_subnetworks
from nas.files import read_json, write_json
from nas.networks import load_architecture
from nas.progress import SILENT, Reporter
from nas.runs import RESULT, RESULT_SCHEMA, claim
from nas.tasks.base import Evaluation, Task
from nas.tasks.registry import open_task
from nas.training.loop import Passes, Position, State, Trainer
from nas.weights import (
    WEIGHTS,
    Preparation,
    load_network,
    load_supernet,
    save_network,
    save_supernet,
)
from search_spaces import Architecture, SearchSpace, UserError, space_of, unknown
from supernet import CompactNetwork, Supernet, extract, recalibrate


def prepare(experiment: Experiment) -> torch.device:
    """Set threads and return the device that the experiment computes on.

    Raises:
        UserError: an accelerator is asked for that torch does not see.
    """
    if experiment.threads is not None:
        torch.set_num_threads(experiment.threads)
    available = torch.cuda.is_available()
    if experiment.accelerator == "cuda" and not available:
        raise UserError("accelerator = cuda: torch sees none here; use --set accelerator=cpu")
    return torch.device("cuda" if available and experiment.accelerator != "cpu" else "cpu")


def train_supernet(
    experiment: Experiment, out: Path, *, resume: bool = False, reporter: Reporter = SILENT
) -> dict[str, Any]:
    """Step 1: train the super-network into ``out/supernet``.

    Raises:
        UserError: the folder holds something else; settings that do not fit; broken data.
        Stopped: a signal came, the checkpoint is written.
    """
    from supernet.strategies import strategy

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
        **_facts(experiment, task, "supernet", device),
        **_cost(state.seconds, state),
        "space": space.name,
        "space_fingerprint": space.fingerprint,
        "scores": state.history[-1].get("scores", {}),
        "history": state.history,
    }
    return _finish(folder, result)


def subnetwork_passes(plan: Any, seed: int) -> Passes:
    """The forward passes of a step: sub-networks as the strategy draws them."""

    def passes(
        module: nn.Module, images: Tensor, targets: Tensor, position: Position
    ) -> Iterator[tuple[Tensor, Tensor, float]]:
        assert isinstance(module, Supernet)
        generator = random.Random(f"subnetworks/{seed}/{position.epoch}/{position.step}")
        yield from plan.passes(module, images, targets, position.progress, generator)

    return passes


def train_network(
    experiment: Experiment,
    architecture: Architecture,
    out: Path,
    *,
    name: str = "discovered",
    supernet: Path | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Step 3: train one network into ``out/train/<name>`` and score it on the test split.

    Args:
        experiment: its ``train`` section says how.
        architecture: of any space whose input and outputs fit the task.
        out: the run folder.
        name: of the folder.
        supernet: whose weights are inherited where the recipe says so; the run's own by default.
        resume: go on with what is there.
        reporter: shows progress.

    Raises:
        UserError: as `train_supernet`; the folder was used for another architecture.
        Stopped: a signal came, the checkpoint is written.
    """
    folder = out / "train" / name
    space = space_of(architecture)
    check_input(experiment, space)
    _refuse_other_architecture(folder, architecture)
    if claim(folder, experiment, ("train",), resume=resume):
        return read_json(folder / RESULT)
    write_json(folder / "architecture.json", architecture.to_dict())
    device = prepare(experiment)
    task = open_task(experiment)
    settings = experiment.train
    network = space.describe(architecture)
    torch.manual_seed(experiment.seed)
    module: CompactNetwork
    if settings.weights == "inherited":
        shared = load_supernet(supernet or out / "supernet", expected=space)
        shared.dropout = settings.dropout
        module = extract(shared, architecture)
        recalibrate(module, task.calibration(experiment.search.recalibration_images, 256))
    else:
        module = CompactNetwork(network, dropout=settings.dropout)
    batch_size = experiment.search.batch_size

    def probe(trained: nn.Module) -> Mapping[str, Evaluation]:
        return {"network": evaluate(trained, task, task.holdout, batch_size=batch_size)}

    trainer = Trainer(
        module,
        task,
        settings,
        folder,
        seed=experiment.seed,
        probe=probe,
        probe_epochs=settings.validate_epochs or settings.epochs,
        device=device,
        precision=experiment.precision,
        kind=name,
        reporter=reporter,
    )
    state = trainer.run(resume=resume)
    save_network(folder / WEIGHTS, trainer.trained, architecture, Preparation.of(task))
    test = evaluate(trainer.trained, task, task.test, batch_size=batch_size)
    holdout = evaluate(trainer.trained, task, task.holdout, batch_size=batch_size)
    result = {
        **_facts(experiment, task, "train", device),
        **_cost(state.seconds, state),
        "name": name,
        "weights": settings.weights,
        "architecture": architecture.to_dict(),
        "macs": network.macs,
        "params": network.params,
        "score": test.score.to_dict(),
        "scores": {"test": test.score.to_dict(), "holdout": holdout.score.to_dict()},
        "details": test.details,
        "loss": _finite(test.loss),
        "history": state.history,
    }
    return _finish(folder, result)


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
        "loss": _finite(found.loss),
        "images": found.images,
        "details": _clean(found.details),
        "macs": module.network.macs,
        "params": module.network.params,
    }


def run(
    experiment: Experiment, out: Path, *, resume: bool = False, reporter: Reporter = SILENT
) -> dict[str, Any]:
    """The three steps in turn; ``out/result.json`` sums them up.

    Raises:
        UserError: as the steps.
        Stopped: a signal came; go on with ``resume``.
    """
    from nas.search import search

    reporter.say("step 1: the super-network")
    first = train_supernet(experiment, out, resume=resume, reporter=reporter)
    reporter.say("step 2: the search")
    second = search(experiment, out, resume=resume, reporter=reporter)
    reporter.say("step 3: the discovered network")
    architecture = load_architecture(out / "search" / "main" / RESULT)
    third = train_network(experiment, architecture, out, resume=resume, reporter=reporter)
    seconds = {"supernet": first["seconds"], "search": second["seconds"], "train": third["seconds"]}
    summary = {
        key: third[key]
        for key in ("schema", "experiment", "task", "seed", "threads", "accelerator", "version")
    }
    result = {
        **summary,
        "step": "run",
        "seconds": seconds,
        "device_hours": sum(seconds.values()) / 3600,
        "score": third["score"],
        "architecture": third["architecture"],
        "macs": third["macs"],
        "params": third["params"],
    }
    return _finish(out, result)


def check_input(experiment: Experiment, space: SearchSpace) -> None:
    """Refuse a network whose input or outputs differ from the experiment's.

    Raises:
        UserError: classes, channels or resolution differ.
    """
    own = experiment.search_space()
    for name in ("classes", "input_channels", "resolution"):
        here, there = getattr(own, name), getattr(space, name)
        if here != there:
            word = name.removeprefix("input_")
            raise UserError(
                f"the architecture has {word} = {there}, the experiment {word} = {here}; "
                f"use --set space.settings.{word}={there} or another architecture"
            )


def _refuse_other_architecture(folder: Path, architecture: Architecture) -> None:
    path = folder / "architecture.json"
    if path.exists() and Architecture.load(path) != architecture:
        raise UserError(
            f"{folder}: holds the training of another architecture; choose another --name or --out"
        )


def _facts(experiment: Experiment, task: Task, step: str, device: torch.device) -> dict[str, Any]:
    """What every result says about where it comes from."""
    return {
        "schema": RESULT_SCHEMA,
        "step": step,
        "experiment": experiment.name,
        "task": task.name,
        "data": task.describe(),
        "seed": experiment.seed,
        "threads": torch.get_num_threads(),
        "accelerator": device.type,
        "version": own_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cost(seconds: float, state: State) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "devices": 1,
        "device_hours": seconds / 3600,
        "updates": state.updates,
        "skipped_steps": state.skipped,
        "images_per_second": state.images / seconds if seconds else None,
        "data_waiting_share": state.waiting / seconds if seconds else None,
    }


def own_version() -> str:
    """The version of this package."""
    try:
        return version("netadapt")
    except PackageNotFoundError:
        return "unknown"


def _finish(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Write the result; what is returned is what a reader of the file gets."""
    cleaned: dict[str, Any] = _clean(result)
    write_json(folder / RESULT, cleaned)
    return cleaned


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _clean(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Mapping):
        return {str(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value
