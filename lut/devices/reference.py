"""The speed of a cool phone: the best latency of a reference operation ever seen on it."""

from __future__ import annotations

import json
from pathlib import Path

from search_spaces import Operation


class BestReference:
    """The lowest latency of the reference, kept in a file from one build to the next.

    Args:
        path: a JSON file of latencies in microseconds by key; None keeps nothing.
        key: what the latency belongs to: phone, core, runtime.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.key = path, key
        value = self._stored().get(key)
        self.value = value if isinstance(value, int | float) and value > 0 else None

    def note(self, latency: float) -> None:
        """Take ``latency`` in microseconds into account."""
        if self.value is not None and latency >= self.value:
            return
        self.value = latency
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps({**self._stored(), self.key: latency}, indent=1))

    def reached(self, latency: float, drift: float) -> bool:
        """Whether ``latency`` is at most the fraction ``drift`` above the best."""
        return self.value is not None and latency <= self.value * (1 + drift)

    def _stored(self) -> dict[str, float]:
        if self.path is None or not self.path.is_file():
            return {}
        try:
            stored = json.loads(self.path.read_text())
        except ValueError:
            return {}
        return stored if isinstance(stored, dict) else {}


def reference_file() -> bytes:
    """A 3×3 convolution on 28×28×64, 28.9 M MACs: about a millisecond on a large core."""
    from lut.tflite import write_operation

    return write_operation(
        Operation(
            name="reference",
            type="conv",
            inputs=("input",),
            input_shapes=((64, 28, 28),),
            output_shape=(64, 28, 28),
            kernel=(3, 3),
            padding=(1, 1, 1, 1),
            activation="relu",
            bias=True,
        )
    )
