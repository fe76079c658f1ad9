"""Sound files of every kind that a command reads, and the commands that read them."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lut import DeviceInfo, Table
from lut.fit.blocks import block_operations
from lut.fit.devices import RECIPES
from nas.files import write_json, write_text
from nas.recipe.loading import recipes
from nas.runs.folder import RunFolder
from search_spaces import space

SETTINGS = {
    "threads": "1",
    "space.settings.multiplier": "0.5",
    "supernet.epochs": "1",
    "supernet.steps_per_epoch": "2",
    "supernet.probe_epochs": "0",
    "search.metric": "macs",
    "search.recalibration_images": "16",
    "search.optimizer": "random",
    "search.optimizers.random": "{iterations: 2, samples: 2}",
    "train.epochs": "1",
    "train.steps_per_epoch": "2",
    "train.validate_epochs": "0",
}


SHORT = tuple(f"--set={key}={value}" for key, value in SETTINGS.items())


@dataclass(frozen=True)
class Target:
    """A file that is mutated, and a command that reads it (``{}`` stands for the folder)."""

    kind: str
    file: Path
    command: tuple[str, ...]
    share: float = 1.0
    apart: bool = False
    """In a process of its own: a database stays open in the process that opened it."""


def prepare(folder: Path, call: Callable[[Sequence[str]], int]) -> list[Target]:
    """Make the files in ``folder``, by the commands themselves where there is one."""
    run = RunFolder(folder / "run")
    for step in ("train-supernet", "search", "train"):
        assert call(_again(run.path, step)) == 0
    write_text(folder / "recipe.yaml", recipes()["digits_quickstart"])
    write_text(folder / "comparison.yaml", _COMPARISON)
    cut = run.search("cut")
    shutil.copytree(run.search().path, cut.path)
    _unfinished(cut.study, cut.result)
    stopped = RunFolder(folder / "stopped").supernet
    shutil.copytree(run.supernet.path, stopped.path)
    stopped.result.unlink()
    stopped.weights.unlink()
    searched = json.loads(run.search().result.read_text())
    exported = folder / "exported.tflite"
    assert call(["export", str(run.training().path), "--out", str(exported)]) == 0
    measured = folder / RECIPES["pixel1-cpu"].files[0]
    write_json(measured, _measured())
    write_json(folder / "architecture.json", searched["best"]["architecture"])
    _table(folder / "table.json")
    trained, search = run.training(), run.search()
    recipe, report = str(folder / "recipe.yaml"), ("report", "{}/run", "--out", "{}/page.html")
    return [
        Target("recipe", folder / "recipe.yaml", ("describe", recipe)),
        Target("recipe", folder / "recipe.yaml", _planned(recipe)),
        Target("comparison", folder / "comparison.yaml", _dry("{}/comparison.yaml")),
        Target("architecture", folder / "architecture.json", _describe("{}/architecture.json")),
        Target("result", search.result, report),
        Target("result", search.result, _describe("{}/run/search/main/result.json")),
        Target("result", trained.result, report),
        Target("result", run.supernet.result, report),
        Target("table", folder / "table.json", _query("{}/table.json"), 2),
        Target("configuration", trained.config, ("evaluate", str(trained.path))),
        Target("weights", trained.weights, ("evaluate", str(trained.path))),
        Target("weights", trained.weights, ("export", str(trained.path), "--out", "{}/net.tflite")),
        Target("weights", run.supernet.weights, (*_again(run.path), "--name=fresh"), 0.3),
        Target("study", cut.study, (*_again(run.path), "--name=cut", "--resume"), 2, apart=True),
        Target("checkpoint", stopped.last, _resumed(stopped.path.parent)),
        Target("exported", exported, ("evaluate", str(exported), str(trained.config))),
        Target("measurements", measured, _fit(str(measured)), 0.5),
    ]


def _describe(file: str) -> tuple[str, ...]:
    return ("describe", file, "--device", "pixel1-cpu", "--json")


def _planned(recipe: str) -> tuple[str, ...]:
    # of a fitted device: this machine's table would be measured first
    return ("search", recipe, *SHORT, "--supernet", "{}/run/supernet", "--out", "{}/none")


def _query(file: str) -> tuple[str, ...]:
    return ("lut", "query", "mobilenet_v3_tiny", "--table", file, "--json")


def _dry(file: str) -> tuple[str, ...]:
    return ("compare", file, "--out", "{}/none", "--dry-run", "--json")


def _resumed(run: Path) -> tuple[str, ...]:
    return (*_again(run, "train-supernet"), "--resume")


def _again(run: Path, step: str = "search") -> tuple[str, ...]:
    return (step, "digits_quickstart", *SHORT, f"--out={run}")


def _fit(file: str) -> tuple[str, ...]:
    return ("lut", "fit", "pixel1-cpu", file, "--out", "{}/fitted.json", "--json")


def _measured() -> dict[str, float]:
    """Made-up latencies of blocks, in ms, by nn-Meter's names."""
    keys = [f"firstconv_{size}_3_{width}_2_3" for size in (128, 224) for width in (16, 24, 32)]
    for size, width, kernel, ending in itertools.product(
        (56, 14), (16, 48), (3, 5), ("se", "nose")
    ):
        keys += [
            f"conv_{size}_{width}_{2 * width // stride}_4_{stride}_hard_swish_{kernel}_{ending}"
            for stride in (1, 2)
        ]
    keys += [f"transds_{size}_16_{width}_2_4" for size in (16, 32) for width in (48, 64)]
    macs = {key: sum(operation.macs for operation in block_operations(key)) for key in keys}
    return {key: 0.05 + count / 2e7 for key, count in macs.items()}


def _unfinished(study: Path, result: Path) -> None:
    """The study of a search of another name that has not ended: its result is not written yet."""
    with contextlib.closing(sqlite3.connect(study)) as database, database:
        database.execute("UPDATE studies SET study_name = 'cut'")
    result.unlink()


def _table(path: Path) -> None:
    """A table whose costs are made up; of every operation of a small network."""
    device = DeviceInfo(
        name="bench",
        description="a test bench",
        cores="one",
        threads=1,
        runtime="none",
        runtime_version="1",
        precision="float32",
        provenance="measured",
    )
    table = Table(device, source="made up", date="2026-01-01")
    searched = space("mobilenet_v3_tiny")
    for operation in searched.describe(searched.largest()).operations:
        table.add(operation, 0.001 + operation.macs / 1e9, 0.0001)
    table.save(path)


_COMPARISON = """
recipe: digits_quickstart
seeds: [0, 1]
set: [search.metric=macs]
variations:
  guided: {set: [search.optimizer=guided]}
  random: {set: [search.optimizer=random]}
  scaled: {of: guided, baseline: scaled}
  member: {of: guided, within: 0.6}
"""
