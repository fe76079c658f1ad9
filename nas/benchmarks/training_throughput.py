"""Step 1 on a task's images against the same step on images that already lie in memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from nas.progress import SILENT, Reporter
from nas.recipe.loading import load_experiment
from nas.recipe.strategies import open_strategy
from nas.recipe.tasks import open_task
from nas.steps.common import prepare
from nas.steps.supernet import subnetwork_passes
from nas.tasks.base import Batch, Task
from nas.training.loop import Trainer
from supernet import Supernet
from supernet.share import WHOLE, Share


class InMemory:
    """A task whose training batches are always its first one."""

    def __init__(self, task: Task, batch_size: int) -> None:
        self._task = task
        images, targets = next(iter(task.train_batches(0, batch_size)))
        self._batch = images, targets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def train_batches(
        self, epoch: int, batch_size: int, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """The same batch for every step that is left of the epoch."""
        for _ in range(start, self._task.train_images // batch_size):
            yield self._batch


def run(
    experiment: str = "cifar10_mobilenet_v3",
    overrides: list[str] | None = None,
    steps: int = 20,
    rounds: int = 5,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """The throughput on the task's images over that on one batch in memory.

    Both train a super-network of their own through the same trainer, in turns; medians.

    Args:
        experiment: the recipe; its ``task.settings`` say how many loader workers there are.
        overrides: ``section.key=value`` for the recipe.
        steps: of one training.
        rounds: trainings of each kind; one more of each comes first and does not count.
        reporter: shows progress.
    """
    base = load_experiment(experiment, overrides or [])
    device = prepare(base)
    space = base.search_space()
    settings = base.supernet.model_copy(
        update={"epochs": 1, "steps_per_epoch": steps, "warmup_epochs": 0.0, "ema": None}
    )
    real = open_task(base)
    tasks: dict[str, Any] = {"task": real, "memory": InMemory(real, settings.batch_size)}
    plan = open_strategy(settings.strategy, base.code_folder)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    waiting: list[float] = []
    with TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for name, task in tasks.items():
                torch.manual_seed(base.seed)
                trainer = Trainer(
                    Supernet(space),
                    task,
                    settings,
                    Path(folder) / f"{name}{turn}",
                    seed=base.seed,
                    passes=subnetwork_passes(plan, base.seed),
                    forwards=plan.forwards,
                    device=device,
                    precision=base.precision,
                )
                state = trainer.run()
                if turn:
                    seconds[name].append(state.seconds / state.images)
                    if name == "task":
                        waiting.append(state.waiting / state.seconds)
                    reporter.say(f"{name}: {state.images / state.seconds:.0f} images/s")
    per_image = {name: statistics.median(taken) for name, taken in seconds.items()}
    return {
        "name": "training-throughput",
        "value": per_image["memory"] / per_image["task"],
        "unit": "of the throughput on images in memory",
        "details": {
            "images_per_second": {name: 1 / taken for name, taken in per_image.items()},
            "waiting_share": statistics.median(waiting),
            "device": str(device),
            "batch_size": settings.batch_size,
            "task": base.task.name,
            "task_settings": base.task.settings,
            "threads": torch.get_num_threads(),
        },
    }
