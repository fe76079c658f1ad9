"""A score, as every file and every command shows it. Without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """A score on one split; ``unit`` is printed behind the value."""

    name: str
    value: float
    unit: str = ""
    higher_is_better: bool = True
    split: str = ""

    @property
    def text(self) -> str:
        """The value as it is printed."""
        if self.unit == "%":
            return f"{self.value:.1f} %"
        if self.unit in ("", "fraction"):
            return f"{self.value:.4f}"
        return f"{self.value:.3g} {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """The score as plain JSON types."""
        return asdict(self)
