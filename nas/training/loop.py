"""The one training loop, of super-networks and of single networks.

Order, augmentation, sub-networks and dropout of a step are functions of (seed, epoch, step), so
a checkpoint needs no random state, and a run that goes on from one equals the uninterrupted run
bit for bit on a CPU with the same number of threads.
"""

from __future__ import annotations

import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Training
from nas.runs.folder import StepFolder
from nas.tasks.base import Task
from nas.training.distributed import ALONE, Ranks
from nas.training.interrupt import StopFlag, Stopped, stop_on_signal
from nas.training.journal import Journal
from nas.training.keeping import Keeper
from nas.training.passes import Passes, Probe, single_pass
from nas.training.state import State
from nas.training.update import Updater
from search_spaces import UserError

LOG_STEPS = 20
"""Scalars are written every so many steps."""


class Trainer:
    """Trains one module on one task.

    Args:
        module: is moved to ``device`` and to channels-last memory, and trained in place.
        task: data and loss.
        settings: the recipe's section.
        folder: where checkpoints and TensorBoard events go.
        seed: of everything random beside the data's own.
        passes: the forward passes of a part of a batch.
        forwards: their number.
        probe: scores the module; called every ``probe_epochs`` epochs and after the last.
        probe_epochs: 0 never.
        device: where to compute.
        precision: of the forward pass.
        kind: what the checkpoints are called.
        ranks: the processes that train together; only the first one scores, writes and speaks.
        reporter: shows progress.

    Raises:
        UserError: settings that do not fit the data, each other or the ranks.
    """

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        settings: Training,
        folder: Path,
        *,
        seed: int,
        passes: Passes = single_pass,
        forwards: int = 1,
        probe: Probe | None = None,
        probe_epochs: int = 0,
        device: torch.device | None = None,
        precision: str = "float32",
        kind: str = "training",
        ranks: Ranks = ALONE,
        reporter: Reporter = SILENT,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.task = task
        self.settings = settings
        self.folder = StepFolder(folder)
        self.probe = probe if ranks.first else None
        self.probe_epochs = probe_epochs
        self.kind = kind
        self.ranks = ranks
        self.reporter = reporter if ranks.first else SILENT
        self.state = State()
        self.steps = steps_of_epoch(task, settings, ranks)
        self.updater = Updater(
            module.to(self.device).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            task,
            settings,
            steps=self.steps,
            seed=seed,
            passes=passes,
            forwards=forwards,
            device=self.device,
            precision=precision,
            ranks=ranks,
        )
        self.keeper = Keeper(self.updater, kind, self.reporter)

    @property
    def trained(self) -> nn.Module:
        """The weights to use: the average where one is kept."""
        return self.updater.trained

    def run(self, *, resume: bool = False) -> State:
        """Train to the end and return the final state.

        Raises:
            UserError: too many losses that are not finite, weights that are not, a full disk, no
                memory left, or ranks with other settings or data.
            Stopped: a signal came; the checkpoint is written.
        """
        self.ranks.same(self.keeper.identity())
        last = self.folder.last
        if self.ranks.on_first(lambda: resume and last.exists()):
            self.state = self.ranks.everywhere(lambda: self.keeper.restore(last))
            at = {"epoch": self.state.epoch, "step": self.state.step}
            self.ranks.same({f"{last} (on storage that all machines share)": at})

        total = self.settings.epochs * self.steps
        done = self.state.epoch * self.steps + self.state.step
        with (
            self._events(done) as writer,
            stop_on_signal() as signals,
            self.reporter.work(f"training {self.kind}", total, done=done) as bar,
        ):
            journal = Journal(
                writer,
                bar,
                self.state,
                steps=self.steps,
                epochs=self.settings.epochs,
                device=self.device,
                ranks=self.ranks.count,
            )
            epochs = _Epochs(self, journal, signals)
            while self.state.epoch < self.settings.epochs:
                epochs.next()
        return self.state

    def _events(self, done: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if self.ranks.first:
            return SummaryWriter(str(self.folder.path), purge_step=done)
        return nullcontext()


def steps_of_epoch(task: Task, settings: Training, ranks: Ranks) -> int:
    """Steps of an epoch.

    Raises:
        UserError: the batch is larger than the data, or cannot be cut into its parts.
    """
    if settings.batch_size % (ranks.count * settings.accumulate):
        raise UserError(
            f"batch_size = {settings.batch_size} is not a multiple of {ranks.count} ranks × "
            f"accumulate = {settings.accumulate}"
        )
    steps = task.train_images // settings.batch_size
    if settings.steps_per_epoch is not None:
        steps = min(steps, settings.steps_per_epoch)
    if steps == 0:
        raise UserError(
            f"batch_size = {settings.batch_size} is larger than the "
            f"{task.train_images} training images"
        )
    return steps


class _Epochs:
    """One run of a trainer, epoch by epoch.

    Args:
        trainer: what is trained how.
        journal: hears of everything.
        signals: ask to stop.
    """

    def __init__(self, trainer: Trainer, journal: Journal, signals: StopFlag) -> None:
        self.trainer = trainer
        self.journal = journal
        self.signals = signals
        self.state, self.updater = trainer.state, trainer.updater
        self.losses: list[float] = []
        """Of the epoch under way."""
        self.saved = time.monotonic()
        """When the last checkpoint was written."""

    def next(self) -> None:
        """The next epoch, or what is left of it."""
        trainer, state = self.trainer, self.state
        self.losses = state.history.pop()["losses"] if state.step else []
        self.journal.begin_epoch()
        batches = trainer.task.train_batches(
            state.epoch, trainer.settings.batch_size, start=state.step, share=trainer.ranks.share
        )
        self.updater.module.train()
        while state.step < trainer.steps:
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                raise UserError(
                    f"the training data ended after {state.step} of {trainer.steps} steps of "
                    f"epoch {state.epoch + 1}; set steps_per_epoch"
                )
            images, targets = (t.to(trainer.device, non_blocking=True) for t in batch)
            waited = time.perf_counter() - started
            done = self.updater.update(
                images, targets, state, lambda: self.signals.signum is not None
            )
            if done.loss is None:
                self._skip()
            else:
                self.losses.append(done.loss)
            state.step += 1
            state.images += len(images) * trainer.ranks.count
            state.waiting += waited
            state.seconds += time.perf_counter() - started
            self._after_step(done.stopped)
        self._finish()

    def _after_step(self, stopped: bool) -> None:
        trainer, state = self.trainer, self.state
        self.journal.bar.advance()
        if state.step % LOG_STEPS == 0 or state.step == trainer.steps:
            self.journal.step(self.losses[-LOG_STEPS:], self.updater.lr, self.updater.scale)
        last = trainer.folder.last
        if stopped:
            self._save(last)
            where = f"epoch {state.epoch + 1}, step {state.step} is in {last}"
            raise Stopped(self.signals.signum or signal.SIGTERM, where)
        if time.monotonic() - self.saved > trainer.settings.checkpoint_seconds:
            self._save(last)

    def _skip(self) -> None:
        """The loss was not finite, and nothing was changed."""
        self.updater.check_weights(self.state)
        state, settings = self.state, self.trainer.settings
        state.skipped += 1
        if state.skipped > settings.nonfinite_limit:
            raise UserError(
                f"the loss was not finite in {state.skipped} steps, the last at {state.here}; "
                f"training stopped. Lower lr ({settings.lr}) or set clip_norm"
            )
        self.trainer.reporter.warn(f"loss not finite at {state.here}: step skipped")

    def _finish(self) -> None:
        """Score where it is time, and keep what the epoch came to."""
        trainer, state = self.trainer, self.state
        epoch = state.epoch + 1
        entry: dict[str, Any] = {
            "epoch": epoch,
            "loss": float(np.mean(self.losses)) if self.losses else None,
            "lr": self.updater.lr,
        }
        improved = False
        due = trainer.probe_epochs and epoch % trainer.probe_epochs == 0
        if trainer.probe and trainer.probe_epochs and (due or epoch == trainer.settings.epochs):
            improved = self._score(trainer.probe, epoch, entry)
        state.history.append(entry)
        state.epoch, state.step = epoch, 0
        if improved:
            self._save(trainer.folder.best)
        self._save(trainer.folder.last)

    def _score(self, probe: Probe, epoch: int, entry: dict[str, Any]) -> bool:
        """Scores on the hold-out split, into the epoch's entry; True for the best so far."""
        state = self.state
        started = time.perf_counter()
        scores = probe(self.updater.trained)
        state.seconds += time.perf_counter() - started
        entry["scores"] = {name: e.score.value for name, e in scores.items()}
        self.journal.scores(scores, epoch)
        first = next(iter(scores.values())).score
        sign = 1 if first.higher_is_better else -1
        improved = state.best is None or sign * first.value > sign * state.best
        if improved:
            state.best = first.value
        return improved

    def _save(self, path: Path) -> None:
        self.saved = time.monotonic()
        self.updater.check_weights(self.state)
        if not self.trainer.ranks.first:
            return
        started = time.perf_counter()
        self.journal.flush()
        self.trainer.keeper.save(path, self.state, self.losses)
        self.saved = time.monotonic()
        self.state.seconds += time.perf_counter() - started
