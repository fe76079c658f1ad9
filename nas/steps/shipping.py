"""The last part of step 3: the trained network as the files that ship, float32 beside int8."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from lut import open_cost_model
from lut.cost import Precision
from lut.devices.host import HostDevice
from lut.fit import fitted_names
from lut.validate import fastest
from nas.export import ImageMetadata, export
from nas.export.running import ExportedFile
from nas.recipe.experiment import Quantization, SearchSection, Training
from nas.runs.results import Shipped
from nas.steps.deploy import calibration_images, exported_path
from nas.steps.fit import Job
from nas.tasks.base import Task
from nas.training.evaluation import score_outputs
from nas.training.loop import Trainer
from nas.training.quantization import FakeQuantized
from search_spaces import Architecture, Network, UserError
from supernet import CompactNetwork

PRECISIONS: tuple[Precision, ...] = ("float32", "int8")


@dataclass(frozen=True)
class Tuned:
    """What the epochs with rounding took, and the network's files before them."""

    seconds: float = 0.0
    before: tuple[Shipped, ...] = ()


def tune(job: Job, module: nn.Module, settings: Quantization) -> Tuned:
    """Train a trained network on, rounded as its int8 file will be, in place.

    Checkpoints are in the training's folder, under ``quantization``; every rank calls this.

    Raises:
        UserError, Stopped: as `Trainer.run`.
    """
    assert isinstance(module, CompactNetwork)
    if settings.epochs == 0:
        return Tuned()
    images = calibration_images(job.experiment, job.task)
    ranks = job.ranks
    before = ranks.everywhere(lambda: _before(job, module) if ranks.first else ())
    rounded = FakeQuantized(module, images)
    trainer = Trainer(
        rounded,
        job.task,
        fine_tuning_settings(job.settings, settings),
        job.folder.path / "quantization",
        seed=job.experiment.seed,
        device=job.device,
        precision=job.experiment.precision,
        kind=f"{job.folder.name}, rounded as int8",
        ranks=ranks,
        reporter=job.reporter,
    )
    state = trainer.run(resume=job.resume)
    trained = trainer.trained
    assert isinstance(trained, FakeQuantized)
    trained.store(module)
    return Tuned(state.seconds, before)


def fine_tuning_settings(train: Training, settings: Quantization) -> Training:
    """The training's settings for the epochs with rounding: shorter and slower, from labels."""
    shared = {name: getattr(train, name) for name in Training.model_fields}
    changed = {
        "epochs": settings.epochs,
        "lr": settings.lr,
        "min_lr": 0.0,
        "warmup_epochs": 0.0,
        "dropout": 0.0,
        "encoder": None,
        "teacher": None,
    }
    return Training(**{**shared, **changed})


def _before(job: Job, module: CompactNetwork) -> tuple[Shipped, ...]:
    """Both files of the network before it is trained on, scored and thrown away."""
    with tempfile.TemporaryDirectory(prefix="netadapt-") as folder:
        return tuple(
            _scored(file, job.task, precision)
            for precision, file in _written(job, module, Path(folder) / "network").items()
        )


def ship(
    job: Job, module: CompactNetwork, architecture: Architecture, tuned: Tuned
) -> tuple[Shipped, ...]:
    """Write the network's files beside its weights; score, price and time each.

    Args:
        job: the training.
        module: as trained.
        architecture: goes into the files.
        tuned: of `tune`.

    Returns:
        A row a file, those of the network before the epochs with rounding first.

    Raises:
        UserError: an operation has no int8 kernel.
    """
    files = _written(job, module, job.folder.exported, architecture)
    search = job.experiment.search
    here = (search.device or "host") == "host" and search.table is None
    times = fastest({p: f.read_bytes() for p, f in files.items()}, HostDevice()) if here else {}
    rows = []
    for precision, file in files.items():
        device, predicted = _predicted(search, module.network, precision)
        rows.append(
            replace(
                _scored(file, job.task, precision),
                file=str(file),
                fine_tuned=tuned.seconds > 0,
                device=device,
                latency_predicted_ms=predicted,
                latency_measured_ms=times.get(precision),
            )
        )
    return (*tuned.before, *rows)


def _written(
    job: Job, module: CompactNetwork, path: Path, architecture: Architecture | None = None
) -> dict[Precision, Path]:
    """The network as a file of each precision."""
    task, images = job.task, calibration_images(job.experiment, job.task)
    metadata = ImageMetadata(
        mean=tuple(task.mean),
        std=tuple(task.std),
        resolution=module.network.resolution,
        labels=tuple(task.labels),
        task=task.name,
    )
    return {
        precision: export(
            module,
            exported_path(path, precision),
            format="tflite",
            metadata=metadata,
            architecture=architecture,
            precision=precision,
            images=images,
        )
        for precision in PRECISIONS
    }


def _scored(path: Path, task: Task, precision: Precision) -> Shipped:
    file = ExportedFile(path)
    found = score_outputs(file.for_images_of(task), task, task.test)
    return Shipped(precision, found.score, file.bytes)


def _predicted(
    search: SearchSection, network: Network, precision: Precision
) -> tuple[str, float | None]:
    """The device of the recipe's search, and what it predicts; None where it prices no such
    networks: a table that was not measured, an operation that it lacks."""
    named = search.device or "host"
    base = named.removesuffix("-int8")
    wanted = base if precision == "float32" else f"{base}-int8"
    device = wanted if wanted in fitted_names() else named
    try:
        model = open_cost_model(
            None if search.table else device,
            search.table,
            precision,
            operations=network.operations,
        )
        return model.device.name, sum(model.cost(o) for o in network.operations)
    except UserError:
        return ("host" if named == "host" else ""), None
