"""An Android phone behind adb: LiteRT's ``benchmark_model`` on one core, or on the GPU."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lut.cost import DeviceInfo, Precision
from lut.devices.adb import MARK, Adb, DeviceLostError
from lut.devices.base import Measurement, ProgressCallback, ResultCallback
from lut.devices.benchmark_model import inspect_binary
from lut.devices.phone_session import Batch, PhoneSession, Program, Timing
from lut.devices.reference import BestReference, reference_file
from search_spaces import UserError, unknown

__all__ = ["AndroidDevice", "Delegate", "Timing"]

Delegate = Literal["xnnpack", "gpu"]

_PROPERTIES = {
    "maker": "ro.product.manufacturer",
    "model": "ro.product.model",
    "soc": "ro.soc.model",
    "platform": "ro.board.platform",
    "abi": "ro.product.cpu.abi",
    "abis": "ro.product.cpu.abilist",
    "android": "ro.build.version.release",
    "build": "ro.build.id",
    "unit": "ro.serialno",
}

# Prints everything we ask the phone once, in one shell.
_PROBE = "\n".join(
    [
        *(f'echo "{MARK} {key}=$(getprop {name})"' for key, name in _PROPERTIES.items()),
        "for path in /sys/devices/system/cpu/cpu[0-9]*; do",
        f'  echo "{MARK} core=${{path##*cpu}},$(cat $path/cpufreq/cpuinfo_max_freq 2>/dev/null),'
        "$(cat $path/cpufreq/scaling_governor 2>/dev/null),"
        '$(cat $path/cache/index2/size 2>/dev/null)"',
        "done",
    ]
)


@dataclass(frozen=True)
class Core:
    """One core as the phone describes it; 0 and empty where it does not say."""

    number: int
    max_khz: int = 0
    governor: str = ""
    cache_bytes: int = 0


class AndroidDevice:
    """A phone as a measuring device (`lut.devices.base.MeasuringDevice`).

    Every file is timed by ``benchmark_model`` on one core, chosen by ``taskset``, with one
    thread, in several processes that alternate with those of the other files. A reference
    operation runs between them: where it is slower than its best, the phone is throttling, and
    what was measured beside it is measured again after a rest. A lost connection is waited for,
    and only what is missing is run again. Files may be operations or whole networks.

    Args:
        binary: ``benchmark_model`` built for the phone.
        serial: as ``adb devices`` prints it; None where exactly one phone is attached.
        core: the core's number; by default the last of the fastest ones.
        delegate: ``xnnpack`` for the CPU, ``gpu`` for the mobile GPU.
        timing: repeats, warm-up, batches and limits.
        reference: a small ``.tflite`` file of about a millisecond; by default a convolution.
        best_file: where the best reference is kept from one build to the next, so that a build
            that starts on a hot phone notices. None forgets it with this object.
        adb: the client, by name or path.
        pause: waits so many seconds before a lost phone is asked again.

    Raises:
        UserError: no adb, no usable phone, no core of that number, or a binary that is not
            benchmark_model or is built for another ABI.
    """

    def __init__(
        self,
        binary: Path,
        *,
        serial: str | None = None,
        core: int | None = None,
        delegate: Delegate = "xnnpack",
        timing: Timing | None = None,
        reference: bytes | None = None,
        best_file: Path | None = None,
        adb: str = "adb",
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if delegate not in ("xnnpack", "gpu"):
            raise unknown("delegate", delegate, ["xnnpack", "gpu"])
        self.timing = timing or Timing()
        self.delegate = delegate
        self._binary = inspect_binary(binary)
        if delegate == "gpu" and self._binary.api != "Interpreter":
            raise UserError(
                f"--delegate gpu: {binary} times the CompiledModel interface and has no GPU "
                "delegate built in; name the benchmark_model of tflite/tools/benchmark"
            )
        self._adb = Adb(serial, program=adb)
        self._pause = pause
        self._reference = reference
        self.name = self._adb.serial
        self._facts, cores = self._probe()
        self._check_abi()
        self._core = _choose_core(cores, core, self.name)
        self.cache_bytes = self._core.cache_bytes
        self._mask = f"{1 << self._core.number:x}"
        info = self.info("float32")
        key = f"{info.description}, {info.cores}, {info.runtime}, {info.runtime_version}"
        self._best = BestReference(best_file, key)

    def info(self, precision: Precision) -> DeviceInfo:
        """Model, SoC, Android, core, its clock policy, the binary: what figures belong to."""
        facts = self._facts
        unit = hashlib.sha256((facts["unit"] or self.name).encode()).hexdigest()[:6]
        soc = facts["soc"] or facts["platform"] or "unknown SoC"
        model = f"{facts['maker']} {facts['model']}".strip() or "Android phone"
        short = re.sub(r"[^a-z0-9]+", "-", (facts["model"] or "android").lower()).strip("-")
        core = f"core {self._core.number} (mask {self._mask})"
        if self._core.max_khz:
            core += f", max {self._core.max_khz / 1e6:.2f} GHz"
        if self._core.governor:
            core += f", governor {self._core.governor}"
        gpu = self.delegate == "gpu"
        # The GPU delegate computes in half precision unless told otherwise, as apps do.
        how = "GPU delegate, half precision allowed" if gpu else "XNNPACK"
        return DeviceInfo(
            name=f"{short}-gpu" if gpu else f"{short}-core{self._core.number}",
            description=(
                f"{model} (unit {unit}), {soc}, Android {facts['android']} (build {facts['build']})"
            ),
            cores=f"GPU; CPU side on {core}" if gpu else core,
            threads=1,
            runtime=f"LiteRT benchmark_model ({self._binary.api}), {how}",
            runtime_version=f"{self._binary.abi} binary sha256:{self._binary.digest}",
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
        """Time every file on the phone; the contract is that of the protocol.

        Raises:
            UserError: the phone stays away, is full, stays throttled, or prints what is not a
                benchmark's output. The message says how many files were measured.
        """
        if not files:
            return {}
        program = Program(self._binary.path, self._mask, self._flags(), self.delegate)
        session = PhoneSession(
            self._adb,
            program,
            self.timing,
            self._best,
            len(files),
            on_result=on_result,
            on_progress=on_progress,
            pause=self._pause,
        )
        with tempfile.TemporaryDirectory(prefix="netadapt-") as local:
            session.set_up(Path(local) / "setup", self._reference or reference_file())
            try:
                for batch in self._batches(files, Path(local)):
                    session.run(batch)
                    shutil.rmtree(batch.folder)
            finally:
                session.clean_up()
        return {name: session.results[name] for name in files}

    def _batches(self, files: Mapping[str, bytes], local: Path) -> Iterator[Batch]:
        """Write the files in portions that one push carries; each is asked for once."""
        limits = self.timing
        number = size = 0
        batch: Batch | None = None
        for name in files:
            content = files[name]
            full = batch is not None and (
                len(batch.names) >= limits.batch_files or size + len(content) > limits.batch_bytes
            )
            if batch is not None and full:
                yield batch
            if batch is None or full:
                batch, size, number = Batch(local / f"b{number}", []), 0, number + 1
                batch.folder.mkdir()
            (batch.folder / f"m{len(batch.names)}.tflite").write_bytes(content)
            batch.names.append(name)
            size += len(content)
        if batch is not None:
            yield batch

    def _flags(self) -> str:
        timing = self.timing
        return (
            f"--num_threads=1 --num_runs={timing.runs} --min_secs={timing.run_seconds:g} "
            f"--warmup_runs={timing.warm_up} --warmup_min_secs={timing.warm_up_seconds:g} "
            + ("--use_gpu=true" if self.delegate == "gpu" else "--use_xnnpack=true")
        )

    def _probe(self) -> tuple[dict[str, str], list[Core]]:
        try:
            text = self._adb.shell(_PROBE)
        except DeviceLostError as error:
            raise UserError(f"phone {self.name} went away: {error}") from None
        facts = dict.fromkeys(_PROPERTIES, "")
        cores = []
        for line in text.splitlines():
            key, _, value = line.removeprefix(f"{MARK} ").partition("=")
            if key in facts:
                facts[key] = value.strip()
            elif key == "core":
                number, khz, governor, cache = (part.strip() for part in value.split(","))
                if number.isdigit():
                    khz = khz if khz.isdigit() else "0"
                    cores.append(Core(int(number), int(khz), governor, _size(cache)))
        if not facts["abi"]:
            raise UserError(f"phone {self.name} does not answer as Android: no ro.product.cpu.abi")
        return facts, cores

    def _check_abi(self) -> None:
        known = [abi for abi in self._facts["abis"].split(",") if abi] or [self._facts["abi"]]
        if self._binary.abi not in known:
            raise UserError(
                f"--benchmark-binary {self._binary.path} is built for {self._binary.abi}, phone "
                f"{self.name} runs {', '.join(known)}: name the benchmark_model for {known[0]}"
            )


def _choose_core(cores: list[Core], wanted: int | None, serial: str) -> Core:
    if not cores:
        if wanted is None:
            raise UserError(f"phone {serial} does not list its cores: name one by --core")
        return Core(wanted)
    if wanted is None:
        return max(cores, key=lambda core: (core.max_khz, core.number))
    for core in cores:
        if core.number == wanted:
            return core
    numbers = [core.number for core in cores]
    raise UserError(f"core {wanted}: phone {serial} has cores {min(numbers)} to {max(numbers)}")


def _size(text: str) -> int:
    """Bytes of ``512K`` as the kernel writes it, 0 where it does not say."""
    found = re.fullmatch(r"(\d+)([KM]?)", text)
    return int(found[1]) * {"": 1, "K": 2**10, "M": 2**20}[found[2]] if found else 0
