"""This machine: LiteRT's interpreter with XNNPACK, one thread."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from lut.cost import DeviceInfo, Precision
from lut.devices.base import Measurement, Progress, ProgressCallback, ResultCallback
from search_spaces import UserError


class HostDevice:
    """Times files in this process.

    A file is run in blocks of calls of about ``block_seconds``; its latency is the median over
    the blocks. Blocks end early at ``max_blocks``, or once ``seconds`` are used. `behind` another
    network, files take turns and a block is a single call. A block in which this thread lost the
    core for more than 2 % of the time is measured again. Where other processes were busy
    meanwhile (they share the outer cache and the memory), a file is measured up to ``retries``
    times more and the quietest measurement counts.

    Args:
        seconds: measuring time for one file, warm-up not counted.
        min_blocks: blocks that are measured however long they take.
        max_blocks: blocks after which it is enough.
        block_seconds: length of a block, far above the clock's resolution.
        warm_up: calls before the first block.
        retries: further attempts at a file while the machine is busy.
    """

    name = "host"

    def __init__(
        self,
        *,
        seconds: float = 0.05,
        min_blocks: int = 5,
        max_blocks: int = 25,
        block_seconds: float = 0.0005,
        warm_up: int = 2,
        retries: int = 2,
    ) -> None:
        self.seconds = seconds
        self.min_blocks = min_blocks
        self.max_blocks = max_blocks
        self.block_seconds = block_seconds
        self.warm_up = warm_up
        self.retries = retries
        self.cache_bytes = private_cache()
        self._network: bytes | None = None

    def info(self, precision: Precision = "float32") -> DeviceInfo:
        return DeviceInfo(
            name=self.name,
            description=cpu_model(),
            cores="one core, not pinned",
            threads=1,
            runtime="LiteRT XNNPACK",
            runtime_version=runtime_version(),
            precision=precision,
            provenance="measured",
        )

    def measure(
        self,
        files: Mapping[str, bytes],
        *,
        on_result: ResultCallback | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> dict[str, Measurement]:
        names = list(files)
        network = None if self._network is None else filled(self._network)
        together = 1 if network is None else _files_a_turn(network)
        results: dict[str, Measurement] = {}
        start = time.monotonic()
        for first in range(0, len(names), together):
            some = names[first : first + together]
            if network is None:
                measured = [self.time(files[some[0]])]
            else:
                measured = self._quietest(
                    partial(self._turns, network, [filled(files[name]) for name in some])
                )
            for name, measurement in zip(some, measured, strict=True):
                results[name] = measurement
                if on_result is not None:
                    on_result(name, measurement)
            if on_progress is not None:
                spent = time.monotonic() - start
                left = spent / len(results) * (len(names) - len(results))
                on_progress(Progress(len(results), len(names), left))
        return results

    def behind(self, network: bytes) -> HostDevice:
        """See `lut.devices.base.Interleaving`."""
        other = copy(self)
        other._network = network
        return other

    def time(self, content: bytes) -> Measurement:
        """Time one file.

        Raises:
            UserError: the runtime is missing or refuses the file.
        """
        invoke = filled(content)
        (measured,) = self._quietest(lambda: [self._blocks(invoke)])
        return measured

    def _quietest(self, measure: Callable[[], list[Measurement]]) -> list[Measurement]:
        """The measurement during which other processes kept the fewest cores busy."""
        best: list[Measurement] = []
        quietest = float("inf")
        for _ in range(1 + self.retries):
            before = _load()
            measured = measure()
            after = _load()
            others = (after[0] - before[0]) / max(after[1] - before[1], 1e-3)
            if others < quietest:
                best, quietest = measured, others
            if quietest < _BUSY:
                break
        return best

    def _turns(
        self, network: Callable[[], None], files: list[Callable[[], None]]
    ) -> list[Measurement]:
        """Single calls of files in turns, each turn behind a call of the network."""
        clock = time.perf_counter
        samples = [_Samples(invoke, self.min_blocks) for invoke in files]
        patience = clock() + self.seconds * len(files) * _SINGLE_CALLS
        for turn in range(self.warm_up + _MOST_TURNS):
            network()
            for sample in samples:
                sample.take()
            if turn < self.warm_up:
                for sample in samples:
                    sample.clear()
            elif turn - self.warm_up + 1 >= _FEWEST_TURNS and clock() > patience:
                break
        return [sample.measurement() for sample in samples]

    def _blocks(self, invoke: Callable[[], None]) -> Measurement:
        """Blocks of calls of one file."""
        clock = time.perf_counter
        begin = clock()
        for _ in range(self.warm_up):
            begin = clock()
            invoke()
        once = clock() - begin
        samples = _Samples(invoke, self.min_blocks)
        calls = max(1, round(self.block_seconds / max(once, 1e-7)))
        deadline = clock() + self.seconds
        patience = deadline + 4 * self.seconds
        while len(samples.kept) < self.max_blocks:
            samples.take(calls)
            now = clock()
            enough = len(samples.kept) + (len(samples.disturbed) if now >= patience else 0)
            if now > deadline and enough >= self.min_blocks:
                break
        return samples.measurement()


class _Samples:
    """Timed blocks of calls of one file; those in which the thread lost the core are apart."""

    def __init__(self, invoke: Callable[[], None], fewest: int) -> None:
        self.invoke = invoke
        self.fewest = fewest
        self.kept: list[float] = []
        self.disturbed: list[float] = []

    def take(self, calls: int = 1) -> None:
        """Time a block; what is kept are milliseconds for a call."""
        own = time.thread_time()
        begin = time.perf_counter()
        for _ in range(calls):
            self.invoke()
        spent = time.perf_counter() - begin
        waited = spent - (time.thread_time() - own)
        undisturbed = waited < 0.02 * spent + _CLOCK
        (self.kept if undisturbed else self.disturbed).append(spent / calls * 1e3)

    def clear(self) -> None:
        """Forget what was timed: it was the warm-up."""
        self.kept.clear()
        self.disturbed.clear()

    def measurement(self) -> Measurement:
        """Median and spread; disturbed blocks, the fastest first, where too few were kept."""
        blocks = self.kept
        if len(blocks) < self.fewest:
            blocks = sorted(self.kept + self.disturbed)[: self.fewest]
        low, middle, high = statistics.quantiles(blocks, n=4)
        return Measurement(middle, (high - low) / 2, len(blocks))


def _files_a_turn(network: Callable[[], None]) -> int:
    """One for every millisecond that the network takes: long networks shall not take most of
    the time, and after short ones the files themselves would fill the caches."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        network()
        taken.append(time.perf_counter() - begin)
    return min(max(round(min(taken) * 1e3), 1), _MOST_FILES)


_MOST_FILES = 12
"""Files that take turns."""

_FEWEST_TURNS = 14
"""Calls of every file however long they take."""

_SINGLE_CALLS = 0.1
"""Of the ``seconds`` for a file: single calls in turns need no blocks above the clock's
resolution, and their network's calls take time too."""

_MOST_TURNS = 30
"""Calls of a file after which it is enough."""

_BUSY = 0.25
"""Cores that others may keep busy during a measurement."""


def _load() -> tuple[float, float]:
    """Seconds of processor time that others have used so far (0 where unknown), and the clock."""
    now = time.monotonic()
    try:
        with Path("/proc/stat").open() as stream:
            ticks = [int(v) for v in stream.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0.0, now
    busy = sum(ticks) - ticks[3] - ticks[4]
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time(), now


_CLOCK = 5e-6
"""Seconds that reading the two clocks may take."""


def filled(content: bytes) -> Callable[[], None]:
    """What calls a file, its inputs filled with small random numbers.

    Raises:
        UserError: the runtime is missing or refuses the file.
    """
    interpreter = open_interpreter(content)
    generator = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape, dtype = detail["shape"], np.dtype(detail["dtype"])
        value: np.ndarray[Any, Any] = generator.random(shape, dtype=np.float32)
        if dtype.kind in "iu":
            value = (value * 200 - 100).astype(dtype)
        interpreter.set_tensor(detail["index"], value)
    invoke: Callable[[], None] = interpreter.invoke
    return invoke


def open_interpreter(content: bytes, **options: Any) -> Any:
    """A LiteRT interpreter of a file, one thread, memory allocated.

    Raises:
        UserError: ai-edge-litert is missing, or cannot read the file.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError(
            "measuring on this machine needs ai-edge-litert: pip install ai-edge-litert"
        ) from None
    try:
        interpreter = Interpreter(model_content=content, num_threads=1, **options)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"LiteRT cannot run the file: {str(error).splitlines()[0]}") from None
    return interpreter


def cpu_model() -> str:
    """The processor as the system names it, with its instruction sets where known."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def runtime_version() -> str:
    """The version of ai-edge-litert, ``none`` where it is not installed."""
    try:
        return version("ai-edge-litert")
    except PackageNotFoundError:
        return "none"


def private_cache() -> int:
    """Bytes of the level-2 cache of the first core, 0 where unknown."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if (index / "level").read_text().strip() == "2":
                size = (index / "size").read_text().strip()
                return int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}[size[-1]]
        except (OSError, ValueError, KeyError):
            continue
    return 0
