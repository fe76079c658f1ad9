"""What a training asks of its device."""

from __future__ import annotations

import resource
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""The types that a forward pass may compute in beside float32."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The forward pass of a training of this precision; float32 changes nothing."""
    dtype = AUTOCAST.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


class Reading:
    """A tensor on its way to the host.

    An accelerator works through a queue. Reading a value directly waits until all of the queue is
    done; this waits only for what was asked before.
    """

    def __init__(self, values: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._host = values
        if values.device.type == "cuda":
            self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def values(self) -> list[float]:
        """The values, waiting for them."""
        if self._event is not None:
            self._event.synchronize()
        found: list[float] = self._host.tolist()
        return found


def peak_memory(device: torch.device) -> int:
    """Bytes that tensors took on an accelerator at most; on a CPU those of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def is_out_of_memory(error: Exception) -> bool:
    """True where an accelerator or the machine has no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
