"""Settings of a training that change how it computes, through the command."""

from __future__ import annotations

import json
import math
from functools import partialmethod
from pathlib import Path

import pytest
from torch import nn

from nas.cli import main
from search_spaces import space

COMMON = [
    "digits_quickstart",
    "--json",
    "--set=space.settings.multiplier=0.5",
    "--set=threads=1",
    "--set=search.recalibration_images=64",
    "--set=train.epochs=2",
    "--set=train.steps_per_epoch=4",
    "--set=train.warmup_epochs=0",
]


@pytest.fixture(scope="module")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network for the digits."""
    tiny = space("mobilenet_v3_tiny", resolution=16, channels=1, multiplier=0.5)
    path = tmp_path_factory.mktemp("architecture") / "half.json"
    path.write_text(json.dumps(tiny.scaled(0.5).to_dict()))
    return path


@pytest.fixture(scope="module")
def teacher(architecture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network."""
    out = tmp_path_factory.mktemp("teacher")
    settings = ["--set=train.epochs=6", "--set=train.steps_per_epoch=16", "--name=teacher"]
    arguments = ["train", *COMMON, f"--architecture={architecture}", f"--out={out}", *settings]
    assert main(arguments) == 0
    return out / "train/teacher"


@pytest.mark.parametrize(
    "settings",
    [
        [
            "precision=float16",
            "train.clip_norm=1.0",
            "train.batch_size=8",
            "train.epochs=1",
            "train.steps_per_epoch=2",
        ],
        ["precision=bfloat16"],
        ["train.accumulate=4"],
        pytest.param(["train.compile=true"], marks=pytest.mark.slow),
    ],
)
def test_a_training_runs_whatever_it_computes_in(
    settings, architecture, tmp_path, capfd, monkeypatch
):
    # traced as ever, but without minutes of C++
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    arguments = ["train", *COMMON, *(f"--set={s}" for s in settings)]
    arguments += [f"--architecture={architecture}", f"--out={tmp_path / 'run'}"]
    assert main(arguments) == 0, capfd.readouterr().err
    result = json.loads(capfd.readouterr().out)
    assert result["updates"] in (2, 8) and result["skipped_steps"] == 0
    assert all(math.isfinite(entry["loss"]) for entry in result["history"])
    assert result["memory_bytes"] > 0 and result["device_hours"] == result["seconds"] / 3600


@pytest.mark.parametrize("step", ["train-supernet", "train"])
def test_a_teacher_changes_what_is_learnt(step, architecture, teacher, tmp_path, capfd):
    arguments = [step, *COMMON, "--set=supernet.epochs=1", "--set=supernet.steps_per_epoch=4"]
    section = "supernet"
    if step == "train":
        section = "train"
        arguments.append(f"--architecture={architecture}")
    losses = {}
    for share in (None, 1.0):
        more = [] if share is None else [f"--set={section}.teacher={teacher}"]
        more += [] if share is None else [f"--set={section}.teacher_share={share}"]
        assert main([*arguments, *more, f"--out={tmp_path / str(share)}"]) == 0
        losses[share] = json.loads(capfd.readouterr().out)["history"][0]["loss"]
    assert losses[None] != losses[1.0]


def test_teachers_that_do_not_fit_are_refused(architecture, teacher, tmp_path, capfd):
    arguments = ["train", *COMMON, f"--architecture={architecture}", f"--out={tmp_path / 'run'}"]
    assert main([*arguments, f"--set=train.teacher={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere: no such file" in capfd.readouterr().err
    other = ["--set=space.settings.resolution=24", f"--set=supernet.teacher={teacher}"]
    assert main(["train-supernet", *COMMON, *other, f"--out={tmp_path / 'other'}"]) == 2
    assert "resolution = 16" in capfd.readouterr().err
