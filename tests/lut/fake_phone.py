"""A phone for the loopback device daemon: a folder, a shell, and LiteRT's benchmark_model.

Pushed models run in the host's LiteRT interpreter. The attributes make it misbehave.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import statistics
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MACHINES = {"arm64-v8a": 183, "armeabi-v7a": 40, "x86_64": 62, "x86": 3}
PUBLIC = ("/data/local/tmp", "/sys/devices", "/sys/class", "/proc/cpuinfo")

# Small, because it starts for every run: the phone itself executes benchmark_model.
CLIENT = """
import _socket, os, sys
link = _socket.socket()
link.connect(("127.0.0.1", int(sys.argv[1])))
request = [os.getcwd(), os.environ.get("MASK", ""), *sys.argv[2:]]
link.send("\\0".join(request).encode() + b"\\n")
reply = b""
while block := link.recv(65536):
    reply += block
code, _, output = reply.partition(b"\\n")
os.write(1, output)
os._exit(int(code))
"""


def benchmark_binary(abi: str = "arm64-v8a", *, genuine: bool = True) -> bytes:
    """The header and the tell-tale string of a benchmark_model built for ``abi``."""
    wide = 2 if "64" in abi else 1
    header = b"\x7fELF" + bytes([wide, 1, 1]) + bytes(9) + struct.pack("<HH", 3, MACHINES[abi])
    return header + bytes(64) + (b"Inference timings in us: " if genuine else b"hello") + bytes(64)


class Phone:
    """The state and the vices of one device; ``root`` holds its file system."""

    def __init__(self, root: Path, *, abi: str = "arm64-v8a", cores: int = 4) -> None:
        self.root, self.abi, self.model = root, abi, "Fake_9"
        self.authorised = True
        self.offline = False
        self.unplug: Callable[..., None] = lambda **how: None
        self.plug_in: Callable[[], None] = lambda: None
        """Both are set by the daemon."""
        self.shells: list[str] = []
        """Every shell command that was opened."""
        self.pushed: list[str] = []
        """Every file that was pushed."""
        self.runs: list[dict[str, Any]] = []
        """Every execution of benchmark_model: graph, flags, mask."""
        self.capacity: int | None = None
        """Bytes that /data holds; None for plenty."""
        self.before_run: Callable[[int], str | None] = lambda run: None
        """Called with the number of the run; returns what the run prints instead, if anything.
        ``KILLED`` stands for a process that the system ends, ``HANGS`` for one that never
        ends."""
        self.hung: list[socket.socket] = []
        self.latency: Callable[[int, Path], float] | None = None
        """Microseconds of run n of a file; None times the interpreter."""
        self.interpreted: dict[bytes, Any] = {}
        self._build(cores)

    def _build(self, cores: int) -> None:
        for folder in ("bin", "data/local/tmp"):
            (self.root / folder).mkdir(parents=True)
        server = socket.create_server(("127.0.0.1", 0))
        self.server = server
        threading.Thread(target=self._serve, daemon=True).start()
        (self.root / "client.py").write_text(CLIENT)
        python = f"{shlex.quote(sys.executable)} -IS {shlex.quote(str(self.root / 'client.py'))}"
        self.launcher = f'#!/bin/sh\nexec {python} {server.getsockname()[1]} "$@"\n'
        properties = {
            "ro.product.model": "Fake 9",
            "ro.product.manufacturer": "Acme",
            "ro.soc.model": "SOC9000",
            "ro.product.cpu.abi": self.abi,
            "ro.product.cpu.abilist": self.abi,
            "ro.build.version.release": "14",
            "ro.build.id": "AB1C.234",
        }
        cases = "\n".join(f"{key}) echo {shlex.quote(v)} ;;" for key, v in properties.items())
        self._program("getprop", f'case "$1" in\n{cases}\n*) echo ;;\nesac')
        self._program("taskset", 'MASK="$1"; export MASK; shift; exec "$@"')
        self._program("sleep", "exit 0")
        for core in range(cores):
            folder = self.root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
            folder.mkdir(parents=True)
            fastest = "2800000" if core >= cores // 2 else "1800000"
            (folder / "cpuinfo_max_freq").write_text(fastest + "\n")
            (folder / "scaling_max_freq").write_text(fastest + "\n")
            (folder / "scaling_governor").write_text("schedutil\n")
            cache = folder.parent / "cache/index2"
            cache.mkdir(parents=True)
            (cache / "size").write_text("512K\n")

    def _program(self, name: str, body: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.root}/bin:{os.environ.get('PATH', '/usr/bin:/bin')}"}

    def localise(self, text: str) -> str:
        for path in PUBLIC:
            text = text.replace(path, f"{self.root}{path}")
        return text

    def files(self) -> list[str]:
        """What lies in the folder that programs are pushed to."""
        base = self.root / "data/local/tmp"
        return sorted(str(f.relative_to(base)) for f in base.rglob("*"))

    # sync

    def stat(self, path: str) -> tuple[int, int, int]:
        try:
            found = Path(self.localise(path)).stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mode, found.st_size, int(found.st_mtime))

    def receive(self, path: str, mode: int, content: bytes) -> str:
        target = Path(self.localise(path))
        held = sum(f.stat().st_size for f in (self.root / "data").rglob("*") if f.is_file())
        if self.capacity is not None and held + len(content) > self.capacity:
            return "couldn't write file: No space left on device"
        target.parent.mkdir(parents=True, exist_ok=True)
        self.pushed.append(path)
        if content.startswith(b"\x7fELF"):
            machine = struct.unpack_from("<H", content, 18)[0]
            bits = 64 if content[4] == 2 else 32
            refusal = f"#!/bin/sh\necho {path}: not executable: {bits}-bit ELF file\nexit 126\n"
            target.write_text(self.launcher if machine == MACHINES[self.abi] else refusal)
            target.chmod(0o755)
            return ""
        target.write_bytes(self.localise(content.decode()).encode() if _script(path) else content)
        target.chmod(mode & 0o777)
        return ""

    # benchmark_model

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.server.accept()
            except OSError:
                return
            with link.makefile() as lines:
                cwd, mask, *argv = lines.readline().rstrip("\n").split("\0")
            output, code = self._benchmark(argv, cwd, mask)
            if output == HANGS:
                self.hung.append(link)
                continue
            with link, contextlib.suppress(OSError):
                link.sendall(f"{code}\n{output}".encode())

    def _benchmark(self, argv: list[str], cwd: str, mask: str) -> tuple[str, int]:
        flags = dict(flag.removeprefix("--").split("=", 1) for flag in argv)
        graph = Path(cwd, flags["graph"])
        number = len(self.runs)
        self.runs.append({"graph": graph.name, "flags": flags, "mask": mask})
        instead = self.before_run(number)
        if instead is not None:
            return ("", 137) if instead == KILLED else (instead, 0)
        if not graph.is_file():
            return (f"ERROR: Could not open '{graph}'.\nERROR: Failed to load model\n", 1)
        content = graph.read_bytes()
        try:
            interpreter = self._interpreter(content)
        except ValueError as error:
            return (f"ERROR: {error}\nERROR: Benchmarking failed.\n", 1)
        runs, warm_up = int(flags["num_runs"]), int(flags["warmup_runs"])
        times: list[int] = []
        for _ in range(warm_up + runs):
            start = time.perf_counter_ns()
            interpreter.invoke()
            times.append((time.perf_counter_ns() - start) // 1000)
        if self.latency is not None:
            times = [round(self.latency(number, graph))] * len(times)
        return (_report(graph, flags, times[:warm_up], times[warm_up:], len(content)), 0)

    def _interpreter(self, content: bytes) -> Any:
        if content not in self.interpreted:
            from ai_edge_litert.interpreter import Interpreter

            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
            self.interpreted[content] = interpreter
        return self.interpreted[content]


KILLED = "killed"
HANGS = "hangs"


def _script(path: str) -> bool:
    return path.endswith(".sh")


def _statistics(times: list[int]) -> str:
    if len(times) == 1:
        return f"count=1 curr={times[0]}"
    ordered = sorted(times)
    return (
        f"count={len(times)} first={times[0]} curr={times[-1]} min={ordered[0]} max={ordered[-1]} "
        f"avg={statistics.fmean(times):.6g} std={statistics.pstdev(times):.0f} "
        f"p5={ordered[len(times) // 20]} median={ordered[len(times) // 2]} "
        f"p95={ordered[len(times) * 95 // 100]}"
    )


def _report(
    graph: Path, flags: dict[str, str], warm_up: list[int], times: list[int], size: int
) -> str:
    delegate = "GPU" if flags.get("use_gpu") == "true" else "XNNPACK"
    lines = [
        "STARTING!",
        "Log parameter values verbosely: [0]",
        f"Min num runs: [{flags['num_runs']}]",
        f"Num threads: [{flags['num_threads']}]",
        f"Graph: [{graph.name}]",
        f"Loaded model {graph.name}",
        "Initialized TensorFlow Lite runtime.",
        f"Explicitly applied {delegate} delegate, and the model graph will be completely executed "
        "by the delegate.",
        f"The input model file size (MB): {size / 1e6:.6g}",
        "Initialized session in 0.855ms.",
        "Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if "
        "exceeding 150 seconds.",
        _statistics(warm_up),
        "",
        f"Running benchmark for at least {flags['num_runs']} iterations and at least 1 seconds "
        "but terminate if exceeding 150 seconds.",
        _statistics(times),
        "",
        f"Inference timings in us: Init: 855, First inference: {warm_up[0]}, Warmup (avg): "
        f"{statistics.fmean(warm_up):.6g}, Inference (avg): {statistics.fmean(times):.6g}",
        "Note: as the benchmark tool itself affects memory footprint, the following is only "
        "APPROXIMATE to the actual memory footprint of the model at runtime. Take the information "
        "at your discretion.",
        "Memory footprint delta from the start of the tool (MB): init=3.52734 overall=3.61719",
    ]
    return "".join(f"INFO: {line}\n" if line else "\n" for line in lines)
