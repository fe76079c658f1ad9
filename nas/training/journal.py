"""What a training tells while it goes on: a bar, and curves in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nas.progress import Bar
from nas.tasks.base import SplitScores
from nas.training.device import peak_memory
from nas.training.state import State


class Journal:
    """Speaks for the first of several ranks.

    Args:
        writer: of TensorBoard; None on the other ranks, which stay silent.
        bar: the steps of the whole training.
        state: how far the training is; read whenever something is told.
        steps: of an epoch.
        epochs: of the training.
        device: whose memory is told.
        ranks: how many there are.
    """

    def __init__(
        self,
        writer: Any,
        bar: Bar,
        state: State,
        *,
        steps: int,
        epochs: int,
        device: torch.device,
        ranks: int,
    ) -> None:
        self.writer = writer
        self.bar = bar
        self.state = state
        self.steps = steps
        self.epochs = epochs
        self.device = device
        self.ranks = ranks
        self._mark = self._now()

    def _now(self) -> tuple[int, float, float]:
        return self.state.images, self.state.seconds, self.state.waiting

    def begin_epoch(self) -> None:
        """What follows is measured from here on."""
        self._mark = self._now()

    def step(self, losses: list[float], lr: float, scale: float | None) -> None:
        """The last steps' loss and speed.

        Args:
            losses: of those steps that had one.
            lr: the learning rate.
            scale: of the loss, where it is scaled.
        """
        if self.writer is None:
            return
        state = self.state
        images, seconds, waiting = self._mark
        self._mark = self._now()
        seconds = max(state.seconds - seconds, 1e-9)
        loss = float(np.mean(losses)) if losses else float("nan")
        self.bar.note(f"epoch {state.epoch + 1}/{self.epochs} loss {loss:.3f}")
        scalars = {
            "loss": loss,
            "lr": lr,
            "images_per_second": (state.images - images) / seconds,
            "data_waiting_share": (state.waiting - waiting) / seconds,
            "memory_gb": peak_memory(self.device) / 1e9,
            "device_hours": state.seconds * self.ranks / 3600,
            "skipped_steps": state.skipped,
            **({} if scale is None else {"loss_scale": scale}),
        }
        for name, value in scalars.items():
            self.writer.add_scalar(f"train/{name}", value, state.epoch * self.steps + state.step)

    def scores(self, found: Mapping[str, SplitScores], epoch: int) -> None:
        """Scores on the hold-out split after so many epochs."""
        for name, e in found.items():
            self.writer.add_scalar(f"holdout/{name}", e.score.value, epoch * self.steps)
            self.writer.add_scalar(f"holdout_loss/{name}", e.loss, epoch * self.steps)

    def flush(self) -> None:
        """Write what was told, before a checkpoint says that it happened."""
        if self.writer is not None:
            self.writer.flush()
