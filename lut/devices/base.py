"""A device that times ``.tflite`` files: the seam between what is measured and where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from lut.cost import DeviceInfo, Precision


@dataclass(frozen=True)
class Measurement:
    """The latency of one file, in milliseconds a call.

    ``median`` is over the repeats; ``spread`` is half the interquartile range of the repeats,
    in milliseconds; ``repeats`` how many blocks of calls it rests on.
    """

    median: float
    spread: float
    repeats: int


@dataclass(frozen=True)
class Progress:
    """How far a call of `MeasuringDevice.measure` is; ``seconds_left`` None while unknown."""

    done: int
    total: int
    seconds_left: float | None
    message: str = ""
    """What just happened where a person should know (``re-measuring after throttling``)."""


ResultCallback = Callable[[str, Measurement], None]
ProgressCallback = Callable[[Progress], None]


class MeasuringDevice(Protocol):
    """Runs files and times them; it knows nothing about what is inside them.

    Batch 1, one thread, the deployment runtime, weights and inputs as the file has them
    (inputs are filled with small random numbers). Everything about the way operations are put
    into files and costs are read off their times lies in `lut.build`.
    """

    name: str
    """How the user calls it: ``host``, or the serial of a phone."""

    cache_bytes: int
    """Size of the core's private cache (level 2), 0 where unknown: how much a probe has to
    read to find its weights as cold as they are in a network."""

    def info(self, precision: Precision) -> DeviceInfo:
        """What its measurements belong to. Equal information means comparable measurements.

        Raises:
            UserError: the device cannot be reached or lacks the runtime.
        """
        ...

    def measure(
        self,
        files: Mapping[str, bytes],
        *,
        on_result: ResultCallback | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> dict[str, Measurement]:
        """Time every file.

        Args:
            files: content by name (letters, digits, ``-``, ``_`` and ``.`` only). The mapping may
                build a file when it is asked for: ask once, hold only what is needed.
            on_result: called once per file as soon as its measurement is final, so that what
                was measured is kept whatever happens later.
            on_progress: called at least once a second or once per file.

        Returns:
            The measurements by name, of all files.

        Raises:
            UserError: the device is lost, full or does not answer as it should. What
                ``on_result`` was called with stays valid.
        """
        ...


@runtime_checkable
class Interleaving(Protocol):
    """A measuring device that can call one file between the calls of others."""

    def behind(self, network: bytes) -> MeasuringDevice:
        """The same device, which calls this network before every turn of the files it times."""
        ...


def device_identity(info: DeviceInfo) -> str:
    """A short hash of everything that makes measurements comparable; names cache folders."""
    fields = {k: v for k, v in asdict(info).items() if k != "trust"}
    text = json.dumps(fields, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
