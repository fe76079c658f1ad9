"""One series of measurements on a phone: push in bulk, run in few shells, survive trouble."""

from __future__ import annotations

import shutil
import statistics
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lut.devices.adb import MARK, Adb, DeviceLostError
from lut.devices.base import Measurement, Progress, ProgressCallback, ResultCallback
from lut.devices.benchmark_model import UnreadableError, delegated, parse_latency, split_of
from lut.devices.reference import BestReference
from search_spaces import UserError

FOLDER = "/data/local/tmp/netadapt"
"""Everything on the phone lies here; it is removed at the end. Programs may run there."""

REFERENCE = "R"
"""The reference operation in the list that the phone's script is given."""

KILLED = 128 + 9
"""The exit code of a process that the phone killed."""

# One shell runs many models. Every exit code is printed, because adb does not carry it.
_SCRIPT = """\
cd "${{0%/*}}" || exit 1
chmod 755 benchmark_model
folder=$1
sleep $2
shift 2
for item in "$@"; do
  if [ "$item" = {reference} ]; then graph=reference.tflite; else graph=$folder/$item.tflite; fi
  echo "{mark} begin $item"
  taskset {mask} ./benchmark_model --graph=$graph {flags} 2>&1 </dev/null
  code=$?
  echo
  echo "{mark} exit $item $code"
done
echo "{mark} done"
"""


@dataclass(frozen=True)
class Timing:
    """How a file is timed on the phone.

    ``repeats`` processes of ``benchmark_model``, each with ``warm_up`` runs and at least
    ``warm_up_seconds`` of them, then ``runs`` runs and at least ``run_seconds``.
    """

    repeats: int = 3
    warm_up: int = 5
    warm_up_seconds: float = 0.05
    runs: int = 30
    run_seconds: float = 0.1
    drift: float = 0.05
    """How much slower than its best the reference may be, as a fraction, before what was
    measured beside it counts as throttled and is measured again."""
    reference_every: int = 8
    """Files between two measurements of the reference."""
    batch_files: int = 64
    batch_bytes: int = 64 * 2**20
    """One push carries at most that many files and bytes."""
    attempts: int = 4
    """Rounds in a row without a single usable figure before giving up."""
    cool_seconds: int = 30
    """Rest before a round that repeats what was throttled; doubled each time."""
    silence_seconds: float = 180.0
    """A phone that prints nothing for so long is lost."""
    wait_seconds: float = 120.0
    """How long a lost phone is waited for."""


@dataclass(frozen=True)
class Program:
    """What the phone runs: the binary, on which cores, with which flags, on which delegate."""

    binary: Path
    mask: str
    flags: str
    delegate: str


@dataclass
class Batch:
    """Files ``m0.tflite``, ``m1.tflite`` … of ``folder`` on this machine, pushed together."""

    folder: Path
    names: list[str]
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """The last trouble with a file, by name."""


@dataclass
class Sample:
    """One process of benchmark_model: its latency and the slower of the references around it,
    in microseconds."""

    latency: float
    reference: float


class PhoneSession:
    """Measures batches one after the other and delivers every file as soon as it is final."""

    def __init__(
        self,
        adb: Adb,
        program: Program,
        timing: Timing,
        best: BestReference,
        total: int,
        *,
        on_result: ResultCallback | None,
        on_progress: ProgressCallback | None,
        pause: Callable[[float], None],
    ) -> None:
        self.adb, self.program, self.timing, self.best = adb, program, timing, best
        self.total, self.pause = total, pause
        self.on_result, self.on_progress = on_result, on_progress
        self.results: dict[str, Measurement] = {}
        self._target = ""
        self._places = 0
        self._setup = Path()
        self._trouble = "nothing was printed"
        self._split: set[str] = set()
        self._started = time.monotonic()

    def set_up(self, folder: Path, reference: bytes) -> None:
        """Prepare what every batch needs: the binary, the reference and the script."""
        folder.mkdir()
        self._setup = folder
        shutil.copyfile(self.program.binary, folder / "benchmark_model")
        (folder / "benchmark_model").chmod(0o755)
        (folder / "reference.tflite").write_bytes(reference)
        script = _SCRIPT.format(
            mark=MARK, reference=REFERENCE, mask=self.program.mask, flags=self.program.flags
        )
        (folder / "run.sh").write_text(script)

    def run(self, batch: Batch) -> None:
        """Measure a batch, whatever happens to the connection.

        Raises:
            UserError: the phone stays away, is full, stays throttled, or a file cannot be
                measured; the message says how many files were measured.
        """
        idle = throttled = 0
        place = ""
        while missing := self._settle(batch):
            fresh, usable = self._counts(batch)
            rest = self.timing.cool_seconds * 2 ** (throttled - 1) if throttled else 0
            try:
                place = place or self._push(batch)
                self._round(batch, place, missing, rest)
            except DeviceLostError as error:
                place = ""
                self._recover(str(error))
            now_fresh, now_usable = self._counts(batch)
            gained, new = now_usable - usable, now_fresh - fresh
            idle = 0 if gained > 0 else idle + 1
            throttled = throttled + 1 if gained < new / 2 else 0
            if idle >= self.timing.attempts:
                raise self._hopeless(batch, throttled > 0)
        if place:
            # The next command meets the same trouble, if any, and says so.
            with suppress(DeviceLostError, UserError):
                self.adb.shell(f"rm -rf {self._target}/{place}")

    def clean_up(self) -> None:
        """Remove everything from the phone, if it is there; the next session does otherwise."""
        with suppress(DeviceLostError, UserError):
            self.adb.shell(f"rm -rf {FOLDER}", timeout=20)

    def _kept(self, trouble: str) -> UserError:
        return UserError(
            f"{trouble}; {len(self.results)} of {self.total} files were measured and are kept, "
            "the same command goes on there"
        )

    def _push(self, batch: Batch) -> str:
        """Copy the batch, and the first time what every batch needs; its folder there."""
        try:
            if not self._target:
                target = f"{FOLDER}/{uuid.uuid4().hex[:8]}"
                self.adb.shell(f"rm -rf {FOLDER} && mkdir -p {FOLDER}")
                self.adb.push(self._setup, target)
                self._target = target
            place = f"b{self._places}"
            self._places += 1
            self.adb.push(batch.folder, f"{self._target}/{place}")
        except UserError as error:
            raise self._kept(str(error)) from None
        return place

    def _recover(self, reason: str) -> None:
        """Wait for a lost phone; UserError where it does not come back in time."""
        self._trouble = reason
        limit = self.timing.wait_seconds
        self._tell(f"lost the phone ({reason}): waiting up to {limit:.0f} s for it")
        if not self.adb.wait(limit, self.pause):
            raise self._kept(
                f"phone {self.adb.serial} went away and did not come back within {limit:.0f} s"
            )
        # A new folder: a script that outlived the connection finds its own gone and ends.
        self._target = ""
        self._tell("the phone is back")

    def _round(self, batch: Batch, place: str, missing: dict[str, int], rest: int) -> None:
        """One shell: the missing repeats in turn, the reference at intervals."""
        index = {f"m{number}": name for number, name in enumerate(batch.names)}
        queue = [
            item
            for repeat in range(self.timing.repeats)
            for item, name in index.items()
            if repeat < missing.get(name, 0)
        ]
        items = [REFERENCE]  # wakes the core up and is not looked at
        for start in range(0, len(queue), self.timing.reference_every):
            items += [REFERENCE, *queue[start : start + self.timing.reference_every]]
        items.append(REFERENCE)
        if rest:
            self._tell(f"throttled: measuring {len(missing)} files again after {rest} s of rest")
        command = f"sh {self._target}/run.sh {place} {rest} {' '.join(items)}"
        self._follow(batch, index, command, self.timing.silence_seconds + rest)

    def _follow(self, batch: Batch, index: dict[str, str], command: str, silence: float) -> None:
        """Read the script's output and file every figure between two references."""
        awake = False
        before: float | None = None
        pending: list[tuple[str, float]] = []
        output: list[str] = []
        for line in self.adb.lines(command, silence=silence):
            words = line.split()
            if words[:2] == [MARK, "done"]:
                return
            if words[:2] == [MARK, "begin"]:
                output = []
            elif words[:2] == [MARK, "exit"] and len(words) == 4:
                is_reference = words[2] == REFERENCE
                name = "the reference operation" if is_reference else index[words[2]]
                latency = self._judge(batch, name, words[3], output)
                output = []
                if not is_reference:
                    if latency is not None and before is not None:
                        pending.append((name, latency))
                elif not awake:
                    awake = True
                    if latency is None and not self.results and words[3] != str(KILLED):
                        raise self._kept(f"phone {self.adb.serial}: {batch.failures[name]}")
                else:
                    if latency is not None:
                        self.best.note(latency)
                        if before is not None:
                            slower = max(before, latency)
                            for done, value in pending:
                                batch.samples.setdefault(done, []).append(Sample(value, slower))
                    before, pending = latency, []
                self._tell("", batch)
            elif line.strip():
                output.append(line.strip())
        raise DeviceLostError(output[-1] if output else "the connection closed")

    def _judge(self, batch: Batch, name: str, code: str, output: list[str]) -> float | None:
        """Microseconds from one process; None where it failed, with the reason noted."""
        latency = None
        if code == str(KILLED):
            reason = "the phone killed benchmark_model (out of memory?)"
        elif code != "0":
            told = next((line for line in output if "ERROR" in line), " ".join(output[-1:]))
            reason = told or f"benchmark_model ended with {code}"
        elif self.program.delegate == "gpu" and delegated(output, "GPU") == "none":
            reason = "the GPU delegate was not applied"
        else:
            try:
                latency, reason = parse_latency(output), ""
            except UnreadableError as error:
                reason = f"cannot read the output of benchmark_model: {str(error)!r}"
        if latency is not None:
            self._tell_split(name, output)
        if latency is None:
            batch.failures[name] = reason
        else:
            batch.failures.pop(name, None)
        return latency

    def _tell_split(self, name: str, output: list[str]) -> None:
        """Say once of a file that the GPU took only a part of it."""
        gpu = self.program.delegate == "gpu"
        if gpu and name not in self._split and delegated(output, "GPU") == "part":
            self._split.add(name)
            self._tell(f"{name}: the GPU delegate took only {split_of(output)}, the CPU the rest")

    def _usable(self, batch: Batch, name: str) -> list[Sample]:
        """The samples of a file beside which the reference was as fast as at its best."""
        drift = self.timing.drift
        return [s for s in batch.samples.get(name, []) if self.best.reached(s.reference, drift)]

    def _counts(self, batch: Batch) -> tuple[int, int]:
        """Samples of a batch, and how many of them are usable."""
        return (
            sum(len(samples) for samples in batch.samples.values()),
            sum(len(self._usable(batch, name)) for name in batch.names),
        )

    def _settle(self, batch: Batch) -> dict[str, int]:
        """Deliver what is final; how many repeats the other files still need."""
        missing = {}
        for name in batch.names:
            if name in self.results:
                continue
            samples = self._usable(batch, name)
            if len(samples) < self.timing.repeats:
                missing[name] = self.timing.repeats - len(samples)
                continue
            self.results[name] = summarise([sample.latency / 1000 for sample in samples])
            if self.on_result is not None:
                self.on_result(name, self.results[name])
        return missing

    def _hopeless(self, batch: Batch, throttled: bool) -> UserError:
        serial = self.adb.serial
        if throttled:
            return self._kept(
                f"phone {serial} stays throttled, its reference operation is more than "
                f"{self.timing.drift:.0%} slower than at its best: let it cool down"
            )
        if batch.failures:
            name, reason = next(iter(batch.failures.items()))
            return self._kept(f"phone {serial}, {name}: {reason}")
        return self._kept(f"phone {serial} breaks off every time: {self._trouble}")

    def _tell(self, message: str, batch: Batch | None = None) -> None:
        if self.on_progress is None:
            return
        repeats = self.timing.repeats
        done = len(self.results) * repeats
        if batch is not None:
            open_files = [name for name in batch.names if name not in self.results]
            done += sum(min(len(batch.samples.get(name, [])), repeats) for name in open_files)
        left = None
        if done:
            left = (time.monotonic() - self._started) / done * (self.total * repeats - done)
        self.on_progress(Progress(len(self.results), self.total, left, message))


def summarise(latencies: list[float]) -> Measurement:
    """Median and half the interquartile range of the repeats, in milliseconds."""
    if len(latencies) < 2:
        return Measurement(latencies[0], 0.0, 1)
    low, _, high = statistics.quantiles(latencies, n=4, method="inclusive")
    return Measurement(statistics.median(latencies), (high - low) / 2, len(latencies))
