"""Run folders with names in other scripts, that cannot be written, and that two processes use."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest
import torch

import nas.steps  # noqa: F401  imported before the processes fork
from nas.recipe.loading import recipes
from nas.runs import checkpoints
from nas.runs.folder import RunFolder
from tests.nas.cli.commands import call, refused
from tests.nas.test_killed import SETTINGS, command

TRAIN = ["train-supernet", "digits_quickstart", *SETTINGS]


def test_spaces_and_other_scripts_in_every_name(tmp_path, monkeypatch, capfd):
    home = tmp_path / "Läuft & läuft 日本 <b>"
    home.mkdir()
    monkeypatch.chdir(home)
    out = home / "my run"
    recipe = home / "mein größtes Rezept.yaml"
    recipe.write_text(
        recipes()["digits_quickstart"],
        encoding="utf-8",
    )
    options = [str(recipe), *SETTINGS, f"--out={out}"]
    short = ["--set=search.optimizers={guided: {iterations: 2, samples: 2}}", "--metric=macs"]
    call(capfd, "train-supernet", *options)
    found = call(capfd, "search", *options, *short, "--budget=70%", "--name=kürzer")
    assert found["family"]
    trained = call(capfd, "train", *options, "--name", "kürzer 2")
    assert trained["experiment"] == "mein größtes Rezept"
    folder = RunFolder(out).training("kürzer 2").path
    exported = call(capfd, "export", str(folder), "--format=tflite")
    assert Path(exported["file"]).is_file()
    page = Path(call(capfd, "report", str(out))["report"]).read_text(encoding="utf-8")
    assert "my run" in page and "kürzer" in page and "日本 <b>" not in page


def test_a_folder_that_cannot_be_written_is_a_line(tmp_path, capfd):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    # root may write anywhere but here
    out = closed if os.geteuid() else Path("/proc/closed")
    said = refused(capfd, *TRAIN, f"--out={out / 'run'}")
    assert str(out) in said


def test_two_processes_in_one_run_folder_lose_nothing(tmp_path):
    fork = multiprocessing.get_context("fork")
    folders = [tmp_path / "alone", tmp_path / "shared", tmp_path / "shared"]
    started = [
        fork.Process(target=command, args=([*TRAIN, f"--out={out}", "--resume"], None))
        for out in folders
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    alone, shared = (RunFolder(out).supernet for out in folders[:2])
    tensors = [checkpoints.load(f.weights, "supernet").tensors for f in (alone, shared)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    histories = [json.loads(f.result.read_text())["history"] for f in (alone, shared)]
    assert histories[0] == histories[1]
    assert list(shared.path.rglob(".*.tmp")) == []


@pytest.mark.parametrize("name", ["..", "a/b"])
def test_names_do_not_climb(tmp_path, capfd, name):
    options = ["search", "digits_quickstart", "--metric=macs", f"--out={tmp_path}"]
    assert "a name is no path" in refused(capfd, *options, f"--name={name}")
    assert list(tmp_path.iterdir()) == []
