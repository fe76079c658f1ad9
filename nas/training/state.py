"""How far a training is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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

    @property
    def here(self) -> str:
        """The step under way, in words."""
        return f"epoch {self.epoch + 1}, step {self.step + 1}"
