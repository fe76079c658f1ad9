"""LiteRT's ``benchmark_model``: is this file one, what does its output say."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

from search_spaces import UserError

ABI_OF_MACHINE = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86"}
"""Android's name of an ELF header's machine."""

FINE_US = 100.0
"""Below this median the tool's whole microseconds are too coarse and the mean is used."""

_STATISTIC = re.compile(r"\b(count|first|curr|min|max|avg|std|median)=([0-9.eE+-]+|nan|inf)")
_TELLTALE = {"Interpreter": b"Inference timings in us:", "CompiledModel": b"BENCHMARK RESULTS"}
"""A text that is in the binary and in no other program, by the interface that it times."""


@dataclass(frozen=True)
class BenchmarkBinary:
    """The file that the user named, as far as this machine can tell."""

    path: Path
    abi: str
    api: str
    """``Interpreter`` for the tool in ``tflite/tools/benchmark``, ``CompiledModel`` for the one
    in ``litert/tools``; they share flags and statistics."""
    digest: str
    """First 12 hex digits of its SHA-256: the tool prints no version."""


class UnreadableError(Exception):
    """Output that is not the end of a benchmark; the message is a line of it."""


def inspect_binary(path: Path) -> BenchmarkBinary:
    """Read the header of ``path`` without running it.

    Raises:
        UserError: no such file, no program for Android, or another program.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"--benchmark-binary {path}: {error.strerror or error}") from None
    if not content.startswith(b"\x7fELF") or len(content) < 20:
        raise UserError(f"--benchmark-binary {path}: not an ELF program")
    machine = int.from_bytes(content[18:20], "big" if content[5] == 2 else "little")
    abi = ABI_OF_MACHINE.get(machine)
    if abi is None:
        raise UserError(f"--benchmark-binary {path}: built for machine {machine}, not for Android")
    if b"/ld-linux" in content and b"/system/bin/linker" not in content:
        raise UserError(f"--benchmark-binary {path}: built for Linux, not for Android")
    api = next((name for name, text in reversed(_TELLTALE.items()) if text in content), None)
    if api is None:
        raise UserError(
            f"--benchmark-binary {path}: not LiteRT's benchmark_model; docs/android.md says where "
            "to get it"
        )
    return BenchmarkBinary(path, abi, api, hashlib.sha256(content).hexdigest()[:12])


def parse_latency(lines: list[str]) -> float:
    """Microseconds a run from the output of one ``benchmark_model``.

    It prints a line of statistics for the warm-up and then one for the timed runs. The second
    one's median is taken, or the mean where the tool is too old to print a median. The tool
    counts whole microseconds, so a median under 100 is replaced by the mean without the
    slowest run.

    Raises:
        UnreadableError: no such lines, or figures that no run can have.
    """
    blocks = [line for line in lines if "count=" in line]
    shown = blocks or [line for line in lines if line.strip()] or ["nothing"]
    sample = shown[-1].strip()[:80]
    if len(blocks) < 2:
        raise UnreadableError(sample)
    statistics = {key: _number(value) for key, value in _STATISTIC.findall(blocks[-1])}
    count = statistics.get("count", 0.0)
    mean = statistics.get("avg", statistics.get("curr", math.nan))
    latency = statistics.get("median", mean)
    if latency < FINE_US and count > 1 and "max" in statistics:
        latency = (mean * count - statistics["max"]) / (count - 1) or mean
    if not (math.isfinite(latency) and 0 < latency < 1e9 and count >= 1):
        raise UnreadableError(sample)
    return latency


def delegated(lines: list[str], delegate: str) -> str:
    """How much of the model ran on ``delegate`` (``GPU``): ``all``, ``part`` or ``none``."""
    text = "\n".join(lines)
    if f"Explicitly applied {delegate} delegate" not in text:
        return "none"
    return "all" if "will be completely executed by the delegate" in text else "part"


def split_of(lines: list[str]) -> str:
    """What benchmark_model says about a model that a delegate took only part of."""
    found = re.search(r"partially executed by the delegate w/ (\d+)", "\n".join(lines))
    return f"{found[1]} parts of it" if found else "part of it"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
