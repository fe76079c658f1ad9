"""What the steps share: threads and devices, and what every result says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from nas.files import version
from nas.progress import Reporter
from nas.recipe.experiment import Experiment
from nas.runs.results import Encoder, Trained
from nas.tasks.base import Task
from nas.training.device import peak_memory
from nas.training.distributed import Ranks, joined, local_rank
from nas.training.loop import Trainer
from search_spaces import SearchSpace, UserError
from supernet import CompactNetwork, Supernet
from supernet.prior import set_output_prior

SKIPPED_NAMES = 100
"""So many images that could not be read are named in a result."""


def prepare(experiment: Experiment) -> torch.device:
    """Set threads and return the device that this process computes on.

    Raises:
        UserError: an accelerator is asked for that torch does not see.
    """
    if experiment.threads is not None:
        torch.set_num_threads(experiment.threads)
    available = torch.cuda.is_available()
    if experiment.accelerator == "cuda" and not available:
        raise UserError("accelerator = cuda: torch sees none here; use --set accelerator=cpu")
    if not available or experiment.accelerator == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", local_rank() % torch.cuda.device_count())


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


def facts(experiment: Experiment, task: Task, device: torch.device) -> dict[str, Any]:
    """What the result of a training says about where it comes from: fields of `Trained`."""
    return {
        "experiment": experiment.name,
        "task": task.name,
        "data": task.describe(),
        "seed": experiment.seed,
        "threads": torch.get_num_threads(),
        "accelerator": device.type,
        "torch": torch.__version__,
    }


def cost(trainer: Trainer) -> dict[str, Any]:
    """What a training took: fields of `Trained`."""
    state, devices = trainer.state, trainer.ranks.count
    seconds = state.seconds
    return {
        "seconds": seconds,
        "devices": devices,
        "device_hours": seconds * devices / 3600,
        "updates": state.updates,
        "skipped_steps": state.skipped,
        "images_per_second": state.images / seconds if seconds else None,
        "data_waiting_share": state.waiting / seconds if seconds else None,
        "memory_bytes": peak_memory(trainer.device),
    }


@contextmanager
def ranks_of(
    experiment: Experiment, device: torch.device, *, resume: bool, **further: Any
) -> Iterator[Ranks]:
    """The processes that train together, once they are seen to be started alike.

    Raises:
        UserError: they are not, or one of them has ended.
    """
    with joined(device) as ranks:
        ranks.same({**experiment.to_dict(), "resume": resume, "version": version(), **further})
        yield ranks


def skipped_images(task: Task, ranks: Ranks) -> dict[str, Any]:
    """The images that no rank could read: their number and the names of the first ones."""
    names = sorted({name for found in ranks.gathered(task.skipped()) for name in found})
    return {"count": len(names), "names": names[:SKIPPED_NAMES]}


def start_outputs(module: Supernet | CompactNetwork, task: Task) -> None:
    """Let a new network's output start at the mean of the task's targets, where it has one."""
    prior = task.output_prior()
    if prior is not None:
        set_output_prior(module, *prior)


def say_encoder(encoder: Encoder, reporter: Reporter) -> None:
    """Tell what a training starts from, and warn where its cost is unknown."""
    reporter.say(
        f"encoder: {encoder.layers} of {encoder.of} layers from {encoder.path} ({encoder.task})"
    )
    if encoder.seconds is None:
        reporter.warn(f"{encoder.path}: no result.json beside it, so its time is not counted")


def encoder_seconds(*results: Trained | None) -> dict[str, float]:
    """The step ``encoder`` of a run: what the trainings before it took, each counted once."""
    encoders = [result.encoder for result in results if result is not None]
    found = {encoder.path: encoder.seconds for encoder in encoders if encoder is not None}
    known = [seconds for seconds in found.values() if seconds is not None]
    return {"encoder": sum(known)} if known else {}
