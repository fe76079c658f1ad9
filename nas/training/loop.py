"""The one training loop, of super-networks and of single networks.

Order, augmentation, sub-networks and dropout of a step are functions of (seed, epoch, step), so
a checkpoint needs no random state, and a run that goes on from one equals the uninterrupted run
bit for bit on a CPU with the same number of threads.

A step's batch is cut into equal parts: one a rank, and of each rank ``accumulate``, computed one
after another. Its gradient is the mean over the parts, the same for any number of parts where
the loss is a mean over images and the batch statistics are those of groups; other batch
statistics, and mixup, are those of a part.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import nas.vision  # noqa: F401  before timm
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Training
from nas.runs import checkpoints as files
from nas.runs.checkpoints import Checkpoint
from nas.tasks.base import Evaluation, Task
from nas.training.device import Reading, autocast, is_out_of_memory, peak_memory
from nas.training.distributed import ALONE, Averaged, Ranks
from nas.training.interrupt import Stopped, stop_on_signal
from search_spaces import UserError
from supernet.share import WHOLE, Share

from timm.optim._optim_factory import create_optimizer_v2  # isort: skip
from timm.scheduler.scheduler_factory import create_scheduler_v2  # isort: skip
from timm.utils.model_ema import ModelEmaV3  # isort: skip

LAST = "checkpoints/last.safetensors"
BEST = "checkpoints/best.safetensors"
LOG_STEPS = 20
"""Scalars are written every so many steps."""


@dataclass(frozen=True)
class Position:
    """Where a step stands: ``progress`` goes from 0 to 1 over the whole training.

    ``share`` is the part of the step's batch that the images are.
    """

    epoch: int
    step: int
    progress: float
    share: Share = WHOLE


Passes = Callable[[nn.Module, Tensor, Tensor, Position], Iterator[tuple[Tensor, Tensor, float]]]
"""The forward passes of one step: (module, images, targets, position) → outputs, their targets
and their weight in the loss. Each pass is differentiated before the next one starts."""

Probe = Callable[[nn.Module], Mapping[str, Evaluation]]
"""Scores on the hold-out by name; the first one decides which checkpoint is the best."""


def single_pass(
    module: nn.Module, images: Tensor, targets: Tensor, position: Position
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """A plain forward pass."""
    yield module(images), targets, 1.0


@dataclass
class State:
    """How far a training is; everything that is no tensor."""

    epoch: int = 0
    step: int = 0
    updates: int = 0
    skipped: int = 0
    seconds: float = 0.0
    images: int = 0
    """Over all ranks."""
    waiting: float = 0.0
    """Seconds spent waiting for data."""
    best: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry an epoch: mean loss, learning rate, scores where they were taken."""


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
        self.module = module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.task = task
        self.settings = settings
        self.folder = folder
        self.seed = seed
        self.passes = passes
        self.forwards = forwards
        self.probe = probe if ranks.first else None
        self.probe_epochs = probe_epochs
        self.precision = precision
        self.kind = kind
        self.ranks = ranks
        self.reporter = reporter if ranks.first else SILENT
        self.state = State()
        parts = ranks.count * settings.accumulate
        if settings.batch_size % parts:
            raise UserError(
                f"batch_size = {settings.batch_size} is not a multiple of {ranks.count} ranks × "
                f"accumulate = {settings.accumulate}"
            )
        self.steps = task.train_images // settings.batch_size
        if settings.steps_per_epoch is not None:
            self.steps = min(self.steps, settings.steps_per_epoch)
        if self.steps == 0:
            raise UserError(
                f"batch_size = {settings.batch_size} is larger than the "
                f"{task.train_images} training images"
            )
        try:
            self.optimizer = create_optimizer_v2(
                self.module,
                opt=settings.optimizer,
                lr=settings.lr,
                weight_decay=settings.weight_decay,
                momentum=settings.momentum,
            )
        except (ValueError, KeyError, RuntimeError, AssertionError) as error:
            raise UserError(f"optimizer {settings.optimizer!r}: {error}") from None
        self.scheduler, _ = create_scheduler_v2(
            self.optimizer,
            sched=settings.schedule,
            num_epochs=settings.epochs,
            warmup_epochs=min(settings.warmup_epochs, settings.epochs / 2),  # type: ignore[arg-type]
            warmup_lr=settings.lr / 100,
            min_lr=settings.min_lr,
            step_on_epochs=False,
            updates_per_epoch=self.steps,
        )
        self._averaged = Averaged(self.module, ranks, partial=forwards > 1)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "float16")
        self.ema = ModelEmaV3(self.module, decay=settings.ema) if settings.ema else None
        self._buffers = [b for b in self.module.buffers() if b.is_floating_point()]

    @property
    def trained(self) -> nn.Module:
        """The weights to use: the average where one is kept."""
        module: nn.Module = self.module if self.ema is None else self.ema.module
        return module

    def run(self, *, resume: bool = False) -> State:
        """Train to the end and return the final state.

        Raises:
            UserError: too many losses that are not finite, weights that are not, a full disk, no
                memory left, or ranks with other settings or data.
            Stopped: a signal came; the checkpoint is written.
        """
        self.ranks.same(self._identity())
        last = self.folder / LAST
        if self.ranks.on_first(lambda: resume and last.exists()):
            self.ranks.everywhere(lambda: self._restore(last))
            at = {"epoch": self.state.epoch, "step": self.state.step}
            self.ranks.same({f"{last} (on storage that all machines share)": at})

        total = self.settings.epochs * self.steps
        done = self.state.epoch * self.steps + self.state.step
        with (
            self._events(done) as writer,
            stop_on_signal() as stop,
            self.reporter.work(f"training {self.kind}", total, done=done) as bar,
        ):
            self._writer, self._stop, self._bar = writer, stop, bar
            self._saved = time.monotonic()
            while self.state.epoch < self.settings.epochs:
                self._epoch()
        return self.state

    def _events(self, done: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if self.ranks.first:
            return SummaryWriter(str(self.folder), purge_step=done)
        return nullcontext()

    def _epoch(self) -> None:
        state, settings, ranks = self.state, self.settings, self.ranks
        epoch = state.epoch
        self._losses: list[float] = state.history.pop()["losses"] if state.step else []
        self._mark = (state.images, state.seconds, state.waiting)
        batches = self.task.train_batches(
            epoch, settings.batch_size, start=state.step, share=ranks.share
        )
        self.module.train()
        while state.step < self.steps:
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                raise UserError(
                    f"the training data ended after {state.step} of {self.steps} steps of epoch "
                    f"{epoch + 1}; set steps_per_epoch"
                )
            images, targets = (t.to(self.device, non_blocking=True) for t in batch)
            waited = time.perf_counter() - started
            try:
                loss, stopped = self._step(images, targets)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise UserError(self._no_memory(len(images))) from error
            state.step += 1
            state.images += len(images) * ranks.count
            state.waiting += waited
            state.seconds += time.perf_counter() - started
            self._bar.advance()
            if loss is not None:
                self._losses.append(loss)
            if ranks.first and (state.step % LOG_STEPS == 0 or state.step == self.steps):
                self._log()
            if stopped:
                self._save(LAST)
                where = f"epoch {epoch + 1}, step {state.step} is in {self.folder / LAST}"
                raise Stopped(self._stop.signum or signal.SIGTERM, where)
            if time.monotonic() - self._saved > settings.checkpoint_seconds:
                self._save(LAST)
        self._finish_epoch()

    def _step(self, images: Tensor, targets: Tensor) -> tuple[float | None, bool]:
        """One update: the loss, None where it was not finite and nothing was changed, and
        whether some rank was asked to stop. Both are the same on all ranks."""
        state = self.state
        at = state.epoch * self.steps + state.step
        if self.scheduler is not None:
            self.scheduler.step_update(at)
        before = [b.clone() for b in self._buffers]
        self.optimizer.zero_grad(set_to_none=True)
        loss, stopping = self._gradients(images, targets, at).values()
        stopped = stopping > 0
        if not np.isfinite(loss):
            for buffer, value in zip(self._buffers, before, strict=True):
                buffer.copy_(value)
            self._skip()
            return None, stopped
        if self.settings.clip_norm is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.ranks.average(self._buffers)
        state.updates += 1
        if self.ema is not None:
            self.ema.update(self.module, step=state.updates)
        return loss, stopped

    def _gradients(self, images: Tensor, targets: Tensor, at: int) -> Reading:
        """Differentiate every pass of every part; the mean loss, and whether to stop.

        Both are asked for before the last backward pass, so that reading them waits for no more
        than the forward passes.
        """
        state, accumulate = self.state, self.settings.accumulate
        progress = at / max(1, self.settings.epochs * self.steps - 1)
        total = torch.zeros((), device=self.device)
        parts = self.ranks.share.split(accumulate)
        for here, part in enumerate(parts):
            # a part's place within this rank's images
            own = Share(here, accumulate)
            key = [self.seed, 0xD0, at, part.index]
            torch.manual_seed(int(np.random.default_rng(key).integers(2**62)))
            position = Position(state.epoch, state.step, progress, part)
            passes = self.passes(self.module, own.of(images), own.of(targets), position)
            for number in range(self.forwards):
                last = part is parts[-1] and number == self.forwards - 1
                outputs, wanted, weight = self._averaged.run(
                    partial(self._forward, passes), last=last
                )
                loss = self.task.loss(outputs, wanted, smoothing=self.settings.label_smoothing)
                loss = loss * (weight / accumulate)
                total += loss.detach()
                if last:
                    stop = total.new_tensor(float(self._stop.signum is not None))
                    mean = total / self.ranks.count
                    reading = Reading(self.ranks.sum(torch.stack([mean, stop])))
                torch.autograd.backward(self._scaler.scale(loss))
        return reading

    def _forward(
        self, passes: Iterator[tuple[Tensor, Tensor, float]]
    ) -> tuple[Tensor, Tensor, float]:
        with autocast(self.device, self.precision):
            return next(passes)

    def _no_memory(self, images: int) -> str:
        accumulate = self.settings.accumulate
        return (
            f"out of memory with {images // accumulate} images at once on {self.device}; set "
            f"accumulate = {2 * accumulate}, or lower batch_size ({self.settings.batch_size}) or "
            "the space's resolution"
        )

    def _skip(self) -> None:
        self._check_weights()
        state = self.state
        state.skipped += 1
        where = f"epoch {state.epoch + 1}, step {state.step + 1}"
        if state.skipped > self.settings.nonfinite_limit:
            raise UserError(
                f"the loss was not finite in {state.skipped} steps, the last at {where}; "
                f"training stopped. Lower lr ({self.settings.lr}) or set clip_norm"
            )
        self.reporter.warn(f"loss not finite at {where}: step skipped")

    def _log(self) -> None:
        state = self.state
        images, seconds, waiting = self._mark
        self._mark = (state.images, state.seconds, state.waiting)
        seconds = max(state.seconds - seconds, 1e-9)
        at = state.epoch * self.steps + state.step
        loss = float(np.mean(self._losses[-LOG_STEPS:])) if self._losses else float("nan")
        self._bar.note(f"epoch {state.epoch + 1}/{self.settings.epochs} loss {loss:.3f}")
        scalars = {
            "train/loss": loss,
            "train/lr": self.optimizer.param_groups[0]["lr"],
            "train/images_per_second": (state.images - images) / seconds,
            "train/data_waiting_share": (state.waiting - waiting) / seconds,
            "train/memory_gb": peak_memory(self.device) / 1e9,
            "train/device_hours": state.seconds * self.ranks.count / 3600,
            "train/skipped_steps": state.skipped,
        }
        if self._scaler.is_enabled():
            scalars["train/loss_scale"] = self._scaler.get_scale()
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, at)

    def _finish_epoch(self) -> None:
        state = self.state
        epoch = state.epoch + 1
        entry: dict[str, Any] = {
            "epoch": epoch,
            "loss": float(np.mean(self._losses)) if self._losses else None,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        improved = False
        last = epoch == self.settings.epochs
        if self.probe and self.probe_epochs and (epoch % self.probe_epochs == 0 or last):
            started = time.perf_counter()
            scores = self.probe(self.trained)
            state.seconds += time.perf_counter() - started
            entry["scores"] = {name: e.score.value for name, e in scores.items()}
            for name, e in scores.items():
                self._writer.add_scalar(f"holdout/{name}", e.score.value, epoch * self.steps)
                self._writer.add_scalar(f"holdout_loss/{name}", e.loss, epoch * self.steps)
            first = next(iter(scores.values())).score
            sign = 1 if first.higher_is_better else -1
            improved = state.best is None or sign * first.value > sign * state.best
            if improved:
                state.best = first.value
        state.history.append(entry)
        state.epoch, state.step = epoch, 0
        if improved:
            self._save(BEST)
        self._save(LAST)

    # checkpoints -----------------------------------------------------------------------------

    def _save(self, name: str) -> None:
        self._saved = time.monotonic()
        self._check_weights()
        if not self.ranks.first:
            return
        started = time.perf_counter()
        tensors = {f"model/{k}": v for k, v in self.module.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"ema/{k}": v for k, v in self.ema.module.state_dict().items()}
        own, values = files.optimizer_tensors(self.optimizer)
        tensors |= {f"optimizer/{k}": v for k, v in own.items()}
        progress = asdict(self.state)
        if self.state.step:
            progress["history"] = [*progress["history"], {"losses": self._losses}]
        data = {
            "progress": progress,
            "optimizer": values,
            "identity": self._identity(),
            "scaler": self._scaler.state_dict(),
            "hardware": self._hardware(),
        }
        self._writer.flush()
        files.save(self.folder / name, Checkpoint(self.kind, tensors, data))
        self._saved = time.monotonic()
        self.state.seconds += time.perf_counter() - started

    def _check_weights(self) -> None:
        """Keep the last good checkpoint where a gradient was not finite though its loss was."""
        norms = torch._foreach_norm([p.detach() for p in self.module.parameters()])
        if not bool(torch.stack([norm.float() for norm in norms]).isfinite().all()):
            raise UserError(
                f"the weights are no longer finite at epoch {self.state.epoch + 1}, step "
                f"{self.state.step + 1}: a gradient was not. Checkpoints were left as they were; "
                f"lower lr ({self.settings.lr}) or set clip_norm"
            )

    def _identity(self) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(
                mode="json", exclude={"checkpoint_seconds", "accumulate"}
            ),
            "precision": self.precision,
            "seed": self.seed,
            "data": self.task.describe(),
        }

    def _hardware(self) -> dict[str, Any]:
        """What a run goes on without, but not bit for bit."""
        return {
            "threads": torch.get_num_threads(),
            "ranks": self.ranks.count,
            "accumulate": self.settings.accumulate,
            "device": self.device.type,
        }

    def _restore(self, path: Path) -> None:
        stored = files.load(path, self.kind)
        for key, value in self._identity().items():
            if stored.state["identity"].get(key) != value:
                raise UserError(f"{path}: written with other {key}; use another --out")
        files.load_module(self.module, stored.section("model"), where=str(path))
        if self.ema is not None:
            files.load_module(self.ema.module, stored.section("ema"), where=str(path))
        files.restore_optimizer(
            self.optimizer, stored.section("optimizer"), stored.state["optimizer"]
        )
        self.state = State(**stored.state["progress"])
        self._scaler.load_state_dict(stored.state["scaler"])
        for name, value in self._hardware().items():
            there = stored.state["hardware"][name]
            if there != value:
                self.reporter.warn(
                    f"{path} was written with {name} = {there}, now {value}: weights, and the "
                    "scores that follow from them, are no longer bit-identical to an "
                    "uninterrupted run's"
                )
        self.reporter.say(f"going on from epoch {self.state.epoch + 1}, step {self.state.step + 1}")
