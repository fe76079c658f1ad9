"""The checkpoints of a training: written, and gone on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from nas.progress import Reporter
from nas.runs import checkpoints as files
from nas.runs.checkpoints import Checkpoint
from nas.training.state import State
from nas.training.update import Updater
from search_spaces import UserError


class Keeper:
    """Writes and reads the checkpoints of one training.

    Args:
        updater: whose weights and optimizer are kept.
        kind: what the checkpoints are called.
        reporter: hears where a run goes on, and on what other hardware.
    """

    def __init__(self, updater: Updater, kind: str, reporter: Reporter) -> None:
        self.updater = updater
        self.kind = kind
        self.reporter = reporter

    def identity(self) -> dict[str, Any]:
        """What a run and its checkpoint have to agree on."""
        updater = self.updater
        return {
            "settings": updater.settings.model_dump(
                mode="json", exclude={"checkpoint_seconds", "accumulate"}
            ),
            "precision": updater.precision,
            "seed": updater.seed,
            "data": updater.task.describe(),
        }

    def save(self, path: Path, state: State, losses: Sequence[float]) -> None:
        """Replace a checkpoint.

        Args:
            path: of the file.
            state: how far the training is.
            losses: of the epoch under way.

        Raises:
            UserError: the disk is full; the checkpoint before is whole.
        """
        updater = self.updater
        tensors = {f"model/{k}": v for k, v in updater.module.state_dict().items()}
        if updater.ema is not None:
            tensors |= {f"ema/{k}": v for k, v in updater.ema.module.state_dict().items()}
        own, values = files.optimizer_tensors(updater.optimizer)
        tensors |= {f"optimizer/{k}": v for k, v in own.items()}
        progress = asdict(state)
        if state.step:
            progress["history"] = [*progress["history"], {"losses": list(losses)}]
        data = {
            "progress": progress,
            "optimizer": values,
            "identity": self.identity(),
            "scaler": updater.scaler.state_dict(),
            "hardware": self._hardware(),
        }
        files.save(path, Checkpoint(self.kind, tensors, data))

    def restore(self, path: Path) -> State:
        """Put back what `save` wrote.

        Raises:
            UserError: no checkpoint, or one of another training.
        """
        updater, stored = self.updater, files.load(path, self.kind)
        with files.reading(path):
            for key, value in self.identity().items():
                there = stored.state["identity"].get(key)
                if there != value:
                    what = _difference(there, value)
                    raise UserError(f"written with other {key}{what}; use another --out")
            state = TypeAdapter(State).validate_python(stored.state["progress"])
            if len(state.history) != state.epoch + bool(state.step):
                raise ValueError(f"{len(state.history)} entries of history at {state.here}")
            if state.step:
                list(state.history[-1]["losses"])  # of the epoch under way
            hardware = dict(stored.state["hardware"])
        files.load_module(updater.module, stored.section("model"), where=str(path))
        if updater.ema is not None:
            files.load_module(updater.ema.module, stored.section("ema"), where=str(path))
        with files.reading(path):
            optimizer = stored.section("optimizer"), stored.state["optimizer"]
            files.restore_optimizer(updater.optimizer, *optimizer)
            updater.scaler.load_state_dict(stored.state["scaler"])
        for name, value in self._hardware().items():
            there = hardware.get(name)
            if there != value:
                self.reporter.warn(
                    f"{path} was written with {name} = {there}, now {value}: weights, and the "
                    "scores that follow from them, are no longer bit-identical to an "
                    "uninterrupted run's"
                )
        self.reporter.say(f"going on from {state.here}")
        return state

    def _hardware(self) -> dict[str, Any]:
        """What a run goes on without, but not bit for bit."""
        updater = self.updater
        return {
            "threads": torch.get_num_threads(),
            "ranks": updater.ranks.count,
            "accumulate": updater.settings.accumulate,
            "device": updater.device.type,
        }


def _difference(there: Any, here: Any) -> str:
    """The first entry that differs, where there are entries."""
    if not isinstance(there, dict) or not isinstance(here, dict):
        return ""
    for name, value in here.items():
        if there.get(name) != value:
            return f" ({name} was {there.get(name)!r}, is now {value!r})"
    return ""
