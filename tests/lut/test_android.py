"""The Android device, through the stock adb client against a loopback device daemon."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lut import build_table
from lut.cache import cached_tables
from lut.devices.android import AndroidDevice, Timing
from lut.devices.base import Measurement, Progress
from lut.devices.benchmark_model import UnreadableError, inspect_binary, parse_latency
from lut.tflite import write_network, write_operation
from search_spaces import Operation, UserError, space
from tests.lut.adb_daemon import Daemon
from tests.lut.fake_phone import HANGS, KILLED, Phone, benchmark_binary
from tests.search_spaces.toys import unit

needs_adb = pytest.mark.skipif(
    shutil.which("adb") is None, reason="adb is not installed (Debian: apt install adb)"
)

QUICK = Timing(repeats=2, warm_up=1, runs=5, reference_every=2, cool_seconds=1, wait_seconds=0)


def convolution(channels: int, size: int = 4) -> bytes:
    return write_operation(
        Operation(
            name="conv",
            type="conv",
            inputs=("input",),
            input_shapes=((8, size, size),),
            output_shape=(channels, size, size),
            activation="relu",
            bias=True,
        )
    )


REFERENCE = convolution(24)
FILES = {f"conv-{n}": convolution(n) for n in (8, 16, 32, 40, 48)}


def steady(run: int, graph: Path) -> float:
    """Microseconds by file, the same at every run."""
    return 1000.0 if graph.name == "reference.tflite" else 100.0 + graph.stat().st_size / 100


@pytest.fixture(scope="module")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An adb server of our own: another port and another home than the user's."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    patch = pytest.MonkeyPatch()
    patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    adb("start-server")
    yield
    adb("kill-server")
    patch.undo()


def adb(*arguments: str) -> str:
    done = subprocess.run(["adb", *arguments], capture_output=True, text=True, timeout=60)
    return done.stdout


@pytest.fixture
def attach(adb_server: None, tmp_path: Path) -> Iterator:
    """Attaches a phone and returns it with its serial."""
    daemons: list[Daemon] = []
    waiting: list[subprocess.Popen[bytes]] = []

    def one(**settings: object) -> tuple[Phone, str]:
        vices = {key: settings.pop(key) for key in ("authorised", "offline") if key in settings}
        phone = Phone(tmp_path / f"phone{len(daemons)}", **settings)
        phone.latency = steady
        for vice, value in vices.items():
            setattr(phone, vice, value)
        daemon = Daemon(phone)
        daemons.append(daemon)
        if phone.offline:  # adb would wait ten seconds for an answer
            waiting.append(
                subprocess.Popen(["adb", "connect", daemon.serial], stdout=subprocess.DEVNULL)
            )
            while daemon.serial not in adb("devices"):
                pass
        else:
            adb("connect", daemon.serial)
        return phone, daemon.serial

    yield one
    for client in waiting:
        client.kill()
        client.wait()
    for daemon in daemons:
        adb("disconnect", daemon.serial)
        daemon.close()


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark_model"
    path.write_bytes(benchmark_binary())
    return path


def open_device(binary: Path, serial: str | None = None, **settings: object) -> AndroidDevice:
    settings.setdefault("timing", QUICK)
    return AndroidDevice(
        binary, serial=serial, reference=REFERENCE, pause=lambda seconds: None, **settings
    )


def refusal(call, *arguments: object, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What benchmark_model prints


REAL_OUTPUT = """\
STARTING!
Num threads: [1]
The input model file size (MB): 3.34914
Initialized session in 3.501ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding \
150 seconds.
count=12 first=156677 curr=33205 min=32578 max=156677 avg=43268.1 std=34197 median=40000

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding \
150 seconds.
count=50 first=33228 curr=33130 min=32687 max=33239 avg=33071.8 std=129{median}

Inference timings in us: Init: 3501, First inference: 156677, Warmup (avg): 43268.1, \
Inference (avg): 33071.8
"""


def test_the_median_of_the_timed_runs_is_read_not_the_warm_up():
    new = REAL_OUTPUT.format(median=" p5=32700 median=33100 p95=33200")
    assert parse_latency(new.splitlines()) == 33100
    assert parse_latency([f"INFO: {line}" for line in new.splitlines()]) == 33100
    assert parse_latency(REAL_OUTPUT.format(median="").splitlines()) == 33071.8


def test_a_latency_of_few_microseconds_is_resolved_below_the_microsecond():
    lines = [
        "count=5 first=9 curr=3 min=3 max=9 avg=4.6 std=2",
        "count=1001 first=9 curr=3 min=3 max=1003 avg=4.6 std=2 p5=3 median=3 p95=5",
        "Inference timings in us: Init: 1, First inference: 9, Warmup (avg): 9, Inference (avg): 4",
    ]
    assert parse_latency(lines) == pytest.approx((4.6 * 1001 - 1003) / 1000)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["hello"],
        REAL_OUTPUT.splitlines()[:7],
        ["count=5 avg=5"],
        ["count=5 avg=5", "count=50 avg=nan median=nan"],
        ["count=5 avg=5", "count=50 avg=-5 median=-5 max=1"],
        ["count=5 avg=5", "count=0 avg=5 median=5"],
        ["count=5 avg=5", "count=50 median="],
    ],
)
def test_output_without_a_latency_is_never_read_as_one(lines):
    with pytest.raises(UnreadableError):
        parse_latency(lines)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"#!/bin/sh\n", "not an ELF program"),
        (benchmark_binary(genuine=False), "not LiteRT's benchmark_model"),
        (b"\x7fELF" + bytes(14) + b"\xf3\x00" + bytes(64), "machine 243"),
        (benchmark_binary() + b"/lib/ld-linux-aarch64.so.1", "built for Linux"),
    ],
)
def test_another_program_is_refused_before_any_phone_is_asked(tmp_path, content, says):
    path = tmp_path / "tool"
    path.write_bytes(content)
    assert says in refusal(inspect_binary, path)
    assert "No such file" in refusal(inspect_binary, tmp_path / "missing")


def test_a_missing_adb_is_named(binary, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt install adb" in refusal(open_device, binary)


# Which phone


@needs_adb
def test_no_device_and_several_devices_are_refused(attach, binary):
    assert "no Android device" in refusal(open_device, binary)
    _, first = attach()
    _, second = attach()
    message = refusal(open_device, binary)
    assert "--serial" in message and first in message and second in message
    assert "no Android device 'pixel'" in refusal(open_device, binary, "pixel")
    assert open_device(binary, second).name == second


@needs_adb
@pytest.mark.parametrize(
    ("vice", "says"), [({"authorised": False}, "unauthorised"), ({"offline": True}, "offline")]
)
def test_a_phone_that_cannot_be_used_is_named(attach, binary, vice, says):
    _, serial = attach(**vice)
    assert says in refusal(open_device, binary)
    assert says in refusal(open_device, binary, serial)


@needs_adb
def test_a_binary_for_another_abi_is_refused(attach, tmp_path):
    attach()
    path = tmp_path / "benchmark_x86"
    path.write_bytes(benchmark_binary("x86_64"))
    message = refusal(open_device, path)
    assert "x86_64" in message and "arm64-v8a" in message


@needs_adb
def test_a_phone_that_refuses_to_execute_the_binary_is_quoted(attach, binary):
    phone, _ = attach()
    device = open_device(binary)
    phone.abi = "armeabi-v7a"  # what it says and what it runs differ
    assert "not executable: 64-bit ELF file" in refusal(device.measure, FILES)


@needs_adb
def test_info_says_what_the_figures_belong_to(attach, binary):
    attach()
    device = open_device(binary)
    info = device.info("float32")
    assert info.name == "fake-9-core3"
    assert "Acme Fake 9" in info.description and "SOC9000" in info.description
    assert "Android 14 (build AB1C.234)" in info.description
    assert info.cores == "core 3 (mask 8), max 2.80 GHz, governor schedutil"
    assert "XNNPACK" in info.runtime and "sha256:" in info.runtime_version
    assert info.threads == 1 and info.provenance == "measured"
    assert device.cache_bytes == 512 * 1024
    assert open_device(binary, core=1).info("float32") != info
    assert "GPU" in open_device(binary, delegate="gpu").info("float32").runtime
    assert "cores 0 to 3" in refusal(open_device, binary, core=9)
    assert "did you mean 'gpu'" in refusal(open_device, binary, delegate="gpus")


# Measuring


@needs_adb
def test_files_are_pushed_in_bulk_run_in_one_shell_and_removed(attach, binary):
    phone, _ = attach()
    device = open_device(binary, core=2, timing=replace(QUICK, batch_files=3))
    shells = len(phone.shells)
    results: dict[str, Measurement] = {}
    progress: list[Progress] = []
    measured = device.measure(FILES, on_result=results.__setitem__, on_progress=progress.append)
    assert measured == results and list(results) == list(FILES)
    for name, content in FILES.items():
        expected = round(100 + len(content) / 100) / 1000
        assert results[name] == Measurement(pytest.approx(expected), 0.0, 2)
    assert len([s for s in phone.shells[shells:] if "run.sh" in s]) == 2  # one a batch
    assert all(run["mask"] == "4" for run in phone.runs)
    assert all(run["flags"]["num_threads"] == "1" for run in phone.runs)
    assert all(run["flags"]["use_xnnpack"] == "true" for run in phone.runs)
    assert len([p for p in phone.pushed if p.endswith("/benchmark_model")]) == 1
    assert phone.files() == []
    assert progress[-1].total == len(FILES) and progress[-1].seconds_left is not None


@needs_adb
def test_a_whole_network_runs_in_the_interpreter(attach, binary):
    phone, _ = attach()
    phone.latency = None
    mobilenet = space("mobilenet_v3_small", resolution=64)
    network = mobilenet.describe(mobilenet.largest())
    device = AndroidDevice(binary, timing=replace(QUICK, drift=1e6))
    result = device.measure({"net": write_network(network, None), "one": convolution(8, 32)})
    assert result["net"].median > result["one"].median > 0
    assert result["net"].repeats == 2


@needs_adb
def test_the_tool_for_compiled_models_is_told_apart(attach, tmp_path):
    attach()
    path = tmp_path / "benchmark_compiled"
    path.write_bytes(benchmark_binary() + b"========== BENCHMARK RESULTS ==========")
    assert "(CompiledModel)" in open_device(path).info("float32").runtime
    assert "no GPU delegate" in refusal(open_device, path, delegate="gpu")


@needs_adb
def test_the_gpu_delegate_is_asked_for_and_its_absence_is_an_error(attach, binary):
    phone, _ = attach()
    device = open_device(binary, delegate="gpu")
    device.measure({"one": convolution(8)})
    assert all(run["flags"]["use_gpu"] == "true" for run in phone.runs)
    phone.before_run = lambda run: REAL_OUTPUT.format(median="")  # ran on the CPU after all
    assert "GPU delegate was not applied" in refusal(device.measure, FILES)


@needs_adb
def test_a_file_that_the_gpu_takes_only_part_of_is_named(attach, binary):
    phone, _ = attach()
    said = "Explicitly applied GPU delegate, and the model graph will be partially executed by the "
    phone.before_run = lambda run: (
        f"{said}delegate w/ 3 delegate kernels.\n" + REAL_OUTPUT.format(median="")
    )
    told: list[str] = []
    device = open_device(binary, delegate="gpu")
    device.measure({"one": convolution(8)}, on_progress=lambda p: told.append(p.message))
    named = [text for text in told if text.startswith("one: ")]
    assert named == ["one: the GPU delegate took only 3 parts of it, the CPU the rest"]


@needs_adb
def test_throttled_figures_are_measured_again(attach, binary):
    phone, _ = attach()

    def hot(run: int, graph: Path) -> float:
        return steady(run, graph) * (1.4 if 6 <= run < 17 else 1.0)

    phone.latency = hot
    told: list[str] = []
    results = open_device(binary).measure(FILES, on_progress=lambda p: told.append(p.message))
    for name, content in FILES.items():
        assert results[name].median == pytest.approx(round(100 + len(content) / 100) / 1000)
        assert results[name].spread == 0
    assert any("throttled: measuring" in message for message in told)


@needs_adb
def test_a_phone_that_stays_throttled_ends_the_build_and_the_next_one_notices(
    attach, binary, tmp_path
):
    phone, _ = attach()
    best = tmp_path / "cache" / "best.json"
    kept: dict[str, Measurement] = {}
    timing = replace(QUICK, batch_files=2)
    first_batch = 2 * 2 + 4
    phone.latency = lambda run, graph: steady(run, graph) * (1.0 if run < first_batch else 1.4)
    device = open_device(binary, timing=timing, best_file=best)
    message = refusal(device.measure, FILES, on_result=kept.__setitem__)
    assert "stays throttled" in message and "2 of 5 files were measured" in message
    assert list(kept) == ["conv-8", "conv-16"]
    again = open_device(binary, timing=timing, best_file=best)
    assert "stays throttled" in refusal(again.measure, FILES)
    assert list(json.loads(best.read_text()).values()) == [1000.0]


# Trouble


@needs_adb
def test_an_unplugged_cable_costs_only_what_was_under_way(attach, binary):
    phone, _ = attach()

    def pull(run: int) -> None:
        if run == 7:
            phone.unplug(away=False)

    phone.before_run = pull
    told: list[str] = []
    results = open_device(binary).measure(FILES, on_progress=lambda p: told.append(p.message))
    assert list(results) == list(FILES)
    assert any("lost the phone" in message for message in told)
    assert "the phone is back" in told
    # Samples between two references before the cut were not run again.
    assert sum(run["graph"] == "m0.tflite" for run in phone.runs) == 2


@needs_adb
def test_a_phone_that_stays_away_ends_clearly_and_the_rest_is_done_later(attach, binary):
    phone, serial = attach()

    def pull(run: int) -> None:
        if run == 13:  # the first batch takes 8 runs
            phone.unplug(away=True)

    phone.before_run = pull
    kept: dict[str, Measurement] = {}
    device = open_device(binary, timing=replace(QUICK, batch_files=2))
    message = refusal(device.measure, FILES, on_result=kept.__setitem__)
    assert "did not come back" in message and "2 of 5 files were measured" in message
    assert list(kept) == ["conv-8", "conv-16"]
    phone.plug_in()
    adb("disconnect", serial)
    adb("connect", serial)
    rest = {name: content for name, content in FILES.items() if name not in kept}
    assert list(open_device(binary).measure(rest)) == list(rest)
    assert phone.files() == []


@needs_adb
def test_a_table_that_was_interrupted_is_finished_by_the_same_call(attach, binary, tmp_path):
    searched = unit(inputs=4, filters=6, stride=1, residual=False, resolution=6, lowering="concat")
    timing = replace(QUICK, repeats=1, batch_files=8)
    phone, serial = attach()
    whole = build_table([searched], open_device(binary, timing=timing), folder=tmp_path / "whole")
    runs = len(phone.runs)

    def pull(run: int) -> None:
        if run == runs + runs // 2:
            phone.unplug(away=True)

    phone.before_run = pull
    build = partial(build_table, [searched], folder=tmp_path / "cache")
    refusal(build, open_device(binary, timing=timing))
    kept = sum(len(table) for _, table in cached_tables(tmp_path / "cache"))
    assert 0 < kept < len(whole)
    phone.before_run = lambda run: None
    phone.plug_in()
    adb("disconnect", serial)
    adb("connect", serial)
    before = len(phone.runs)
    finished = build(open_device(binary, timing=timing))
    assert finished.families.keys() == whole.families.keys()
    assert [set(points) for points in finished.families.values()] == [
        set(whole.families[family]) for family in finished.families
    ]
    assert len(phone.runs) - before < runs
    again = len(phone.runs)
    assert build(open_device(binary, timing=timing)).identity == finished.identity
    assert len(phone.runs) == again


@needs_adb
def test_a_full_disk_is_named_and_what_was_measured_is_kept(attach, binary):
    phone, _ = attach()
    kept: dict[str, Measurement] = {}
    files = {"small": convolution(8), "large": convolution(8) + bytes(100_000)}
    phone.capacity = 60_000
    device = open_device(binary, timing=replace(QUICK, batch_files=1))
    message = refusal(device.measure, files, on_result=kept.__setitem__)
    assert "full" in message and "1 of 2 files were measured" in message
    assert list(kept) == ["small"]
    assert phone.files() == []


@needs_adb
def test_a_killed_process_is_run_again(attach, binary):
    phone, _ = attach()
    phone.before_run = lambda run: KILLED if run in (3, 8) else None
    assert list(open_device(binary).measure(FILES)) == list(FILES)


@needs_adb
@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("\x07\xffgarbage without an end", "cannot read the output of benchmark_model"),
        (KILLED, "killed benchmark_model"),
        ("count=1 curr=5\ncount=50 avg=nan median=nan", "cannot read"),
    ],
)
def test_a_file_that_never_gives_a_figure_is_named(attach, binary, output, says):
    phone, _ = attach()
    graphs = {"conv-8": "m0.tflite"}
    phone.before_run = lambda run: output if phone.runs[-1]["graph"] == graphs["conv-8"] else None
    kept: dict[str, Measurement] = {}
    message = refusal(open_device(binary).measure, FILES, on_result=kept.__setitem__)
    assert says in message and "conv-8" in message and "4 of 5 files" in message
    assert list(kept) == list(FILES)[1:]


@needs_adb
def test_a_file_that_is_no_model_is_named(attach, binary):
    attach()
    message = refusal(open_device(binary).measure, {**FILES, "broken": b"no flatbuffer"})
    assert "broken" in message and "ERROR" in message and "5 of 6 files" in message


@needs_adb
def test_a_phone_that_falls_silent_counts_as_lost(attach, binary):
    phone, _ = attach()

    phone.before_run = lambda run: HANGS if run == 4 else None
    device = open_device(binary, timing=replace(QUICK, silence_seconds=1.0))
    told: list[str] = []
    assert list(device.measure(FILES, on_progress=lambda p: told.append(p.message))) == list(FILES)
    assert any("no answer" in message for message in told)
