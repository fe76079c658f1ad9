"""Sound files of every kind that a command reads, and the commands that read them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lut import DeviceInfo, Table
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
    words = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    for step in ("train-supernet", "search", "train"):
        assert call([step, "digits_quickstart", *words, f"--out={run.path}"]) == 0
    write_text(folder / "recipe.yaml", recipes()["digits_quickstart"])
    write_text(folder / "comparison.yaml", _COMPARISON)
    cut = run.search("cut")
    shutil.copytree(run.search().path, cut.path)
    _unfinished(cut.study, cut.result)
    searched = json.loads(run.search().result.read_text())
    exported = folder / "exported.tflite"
    assert call(["export", str(run.training().path), "--out", str(exported)]) == 0
    write_text(folder / "measured.csv", _MEASURED)
    write_json(folder / "architecture.json", searched["best"]["architecture"])
    _table(folder / "table.json")
    trained, search = run.training(), run.search()
    recipe, report = str(folder / "recipe.yaml"), ("report", "{}/run", "--out", "{}/page.html")
    return [
        Target("recipe", folder / "recipe.yaml", ("describe", recipe)),
        Target("recipe", folder / "recipe.yaml", _priced(recipe)),
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
        Target("weights", run.supernet.weights, _again(run.path), 0.3),
        Target("study", cut.study, (*_again(run.path), "--name=cut", "--resume"), 2, apart=True),
        Target("exported", exported, ("evaluate", str(exported), str(trained.path))),
        Target("measurements", folder / "measured.csv", _fit("{}/measured.csv")),
    ]


def _describe(file: str) -> tuple[str, ...]:
    return ("describe", file, "--device", "pixel1-cpu", "--json")


def _priced(recipe: str) -> tuple[str, ...]:
    # of a fitted device: this machine's table would be measured first
    return ("search", recipe, "--device", "pixel1-cpu", "--out", "{}/none")


def _query(file: str) -> tuple[str, ...]:
    return ("lut", "query", "mobilenet_v3_tiny", "--table", file, "--json")


def _dry(file: str) -> tuple[str, ...]:
    return ("compare", file, "--out", "{}/none", "--dry-run", "--json")


def _again(run: Path) -> tuple[str, ...]:
    words = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    return ("search", "digits_quickstart", *words, f"--out={run}")


def _fit(file: str) -> tuple[str, ...]:
    return ("lut", "fit", "pixel4-cpu", file, "--out", "{}/fitted.json", "--json")


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

_MEASURED = """network,width,resolution,latency_ms
mobilenet_v1,1.0,224,31.2
mobilenet_v1,0.5,224,9.8
mobilenet_v2,1.0,224,21.9
mobilenet_v2,0.75,224,16.1
mobilenet_v3_small,1.0,224,7.4
"""
