"""One update of the weights: gradients of every part of a batch, the optimizer, the average.

A step's batch is cut into equal parts: one a rank, and of each rank ``accumulate``, computed one
after another. Its gradient is the mean over the parts, the same for any number of parts where
the loss is a mean over images and the batch statistics are those of groups; other batch
statistics, and mixup, are those of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import nas.vision  # noqa: F401  before timm
from nas.recipe.experiment import Training
from nas.tasks.base import Task
from nas.training.device import Reading, autocast, is_out_of_memory
from nas.training.distributed import Averaged, Ranks
from nas.training.passes import Passes, Position
from nas.training.state import State
from search_spaces import UserError
from supernet.share import Share

from timm.optim._optim_factory import create_optimizer_v2  # isort: skip
from timm.scheduler.scheduler_factory import create_scheduler_v2  # isort: skip
from timm.utils.model_ema import ModelEmaV3  # isort: skip


@dataclass(frozen=True)
class Updated:
    """What a step came to, the same on all ranks.

    ``loss`` is None where it was not finite and nothing was changed; ``stopped`` where some rank
    was asked to stop.
    """

    loss: float | None
    stopped: bool


class Updater:
    """The optimizer of a module with all that belongs to it.

    Args:
        module: on its device, trained in place.
        task: whose loss is differentiated.
        settings: the recipe's section.
        steps: of an epoch.
        seed: of everything random in the passes.
        passes: the forward passes of a part of a batch.
        forwards: their number.
        device: of the module.
        precision: of the forward pass.
        ranks: the processes that train together.

    Raises:
        UserError: an optimizer or schedule that does not exist or does not fit.
    """

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        settings: Training,
        *,
        steps: int,
        seed: int,
        passes: Passes,
        forwards: int,
        device: torch.device,
        precision: str,
        ranks: Ranks,
    ) -> None:
        self.module = module
        self.task = task
        self.settings = settings
        self.steps = steps
        self.seed = seed
        self.passes = passes
        self.forwards = forwards
        self.device = device
        self.precision = precision
        self.ranks = ranks
        try:
            self.optimizer = create_optimizer_v2(
                module,
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
            updates_per_epoch=steps,
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self._averaged = Averaged(module, ranks, partial=forwards > 1)
        self.ema = ModelEmaV3(module, decay=settings.ema) if settings.ema else None
        self._buffers = [b for b in module.buffers() if b.is_floating_point()]

    @property
    def lr(self) -> float:
        """The learning rate as it is now."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def scale(self) -> float | None:
        """Of the loss; None where it is not scaled."""
        return self.scaler.get_scale() if self.scaler.is_enabled() else None

    @property
    def trained(self) -> nn.Module:
        """The weights to use: the average where one is kept."""
        module: nn.Module = self.module if self.ema is None else self.ema.module
        return module

    def update(
        self, images: Tensor, targets: Tensor, state: State, stopping: Callable[[], bool]
    ) -> Updated:
        """Take one step; ``state.updates`` counts it where the weights were changed.

        Args:
            images: this rank's part of the batch.
            targets: see ``images``.
            state: epoch and step.
            stopping: asked before the last backward pass whether this rank is to stop.

        Raises:
            UserError: no memory left.
        """
        at = state.epoch * self.steps + state.step
        if self.scheduler is not None:
            self.scheduler.step_update(at)
        before = [b.clone() for b in self._buffers]
        self.optimizer.zero_grad(set_to_none=True)
        try:
            loss, asked = self._gradients(images, targets, state, stopping).values()
            if not np.isfinite(loss):
                for buffer, value in zip(self._buffers, before, strict=True):
                    buffer.copy_(value)
                return Updated(None, asked > 0)
            self._apply()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(self._no_memory(len(images))) from error
        state.updates += 1
        if self.ema is not None:
            self.ema.update(self.module, step=state.updates)
        return Updated(loss, asked > 0)

    def check_weights(self, state: State) -> None:
        """Keep the last good checkpoint where a gradient was not finite though its loss was.

        Raises:
            UserError: a weight is not finite.
        """
        norms = torch._foreach_norm([p.detach() for p in self.module.parameters()])
        if not bool(torch.stack([norm.float() for norm in norms]).isfinite().all()):
            raise UserError(
                f"the weights are no longer finite at {state.here}: a gradient was not. "
                f"Checkpoints were left as they were; lower lr ({self.settings.lr}) or set "
                "clip_norm"
            )

    def _apply(self) -> None:
        """Change the weights by the gradients."""
        if self.settings.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.ranks.average(self._buffers)

    def _gradients(
        self, images: Tensor, targets: Tensor, state: State, stopping: Callable[[], bool]
    ) -> Reading:
        """Differentiate every pass of every part; the mean loss, and whether to stop.

        Both are asked for before the last backward pass, so that reading them waits for no more
        than the forward passes.
        """
        accumulate = self.settings.accumulate
        at = state.epoch * self.steps + state.step
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
                    stop = total.new_tensor(float(stopping()))
                    mean = total / self.ranks.count
                    reading = Reading(self.ranks.sum(torch.stack([mean, stop])))
                torch.autograd.backward(self.scaler.scale(loss))
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
