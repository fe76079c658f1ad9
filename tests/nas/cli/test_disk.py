"""What a run will take, what it took, and what of it can go."""

from pathlib import Path

import pytest

from nas.runs.folder import RunFolder
from tests.nas.cli.commands import call, refused

SEARCHED = (
    Path(__file__).parents[2] / "assets" / "runs-1" / "run" / "search" / "main" / "result.json"
)

FAST = [
    "--set=supernet.epochs=2",
    "--set=supernet.steps_per_epoch=2",
    "--set=supernet.ema=0.9",
    "--set=threads=1",
    "--set=accelerator=cpu",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_dry_run_says_what_then_runs_and_what_it_takes(here, capfd):
    arguments = ["train-supernet", "digits_quickstart", *FAST]
    (planned,) = call(capfd, *arguments, "--dry-run")["steps"]
    assert not (here / "runs").exists()
    result = call(capfd, *arguments)
    assert planned["state"] == "new" and planned["updates"] == result["updates"] == 4
    used = call(capfd, "clean")["runs"][0]
    # curves for TensorBoard and the result are small beside it
    assert 0.6 * planned["disk_bytes"] < used["bytes"] < 1.3 * planned["disk_bytes"]
    assert "finished" in refused(capfd, *arguments, "--dry-run")
    (again,) = call(capfd, *arguments, "--dry-run", "--resume")["steps"]
    assert again["state"] == "finished, kept"


def test_a_dry_run_of_everything_touches_nothing(here, capfd):
    for command in (["run", "digits_quickstart"], ["quickstart"]):
        steps = call(capfd, *command, "--dry-run")["steps"]
        assert [s["step"] for s in steps][:3] == ["super-network", "search", "training"]
        assert all(s["disk_bytes"] for s in steps if s["step"] != "search")
    assert list(here.iterdir()) == []
    assert "no such folder" in refused(capfd, "run", "image_folder", "--dry-run")


def test_a_dry_run_of_a_baseline_is_of_the_baseline(here, capfd):
    arguments = ["train", "digits_quickstart", f"--architecture={SEARCHED}", "--dry-run"]
    (found,) = call(capfd, *arguments)["steps"]
    (scaled,) = call(capfd, *arguments, "--baseline=scaled")["steps"]
    assert Path(found["folder"]).name == "discovered" and Path(scaled["folder"]).name == "scaled"
    assert "at most the largest network" in scaled["says"] and scaled["macs"] > found["macs"]
    assert "did you mean 'scaled'" in refused(capfd, *arguments, "--baseline=scaledd")
    assert list(here.iterdir()) == []


def test_clean_takes_what_no_step_reads_and_only_when_told(here, capfd):
    call(capfd, "train-supernet", "digits_quickstart", *FAST)
    run = RunFolder(here / "runs" / "digits_quickstart")
    interrupted = run.training("interrupted")
    interrupted.last.parent.mkdir(parents=True)
    interrupted.last.write_bytes(b"work")
    interrupted.config.write_text("")
    (interrupted.path / f".weights.safetensors.{2**22 + 1}.tmp").write_bytes(b"left by a kill")
    tables = here / "cache" / "tables"
    tables.mkdir(parents=True)
    (tables / "host.json").write_text("{}")
    shown = call(capfd, "clean")
    assert shown["freed"] > 0 and not shown["removed"] and run.supernet.last.exists()
    cleaned = call(capfd, "clean", "--yes")
    assert cleaned["freed"] == shown["freed"] and not run.supernet.last.parent.exists()
    assert interrupted.last.exists() and run.supernet.weights.exists()
    assert list(interrupted.path.glob(".*.tmp")) == []
    assert call(capfd, "clean")["freed"] == 0 and (tables / "host.json").exists()
    assert call(capfd, "clean", str(run.path), "--cache", "--yes")["cache"]["bytes"] == 2
    assert not tables.exists()
    # what is left is all that later steps need
    call(capfd, "train-supernet", "digits_quickstart", *FAST, "--resume")


def test_a_folder_without_a_run_is_refused(here, capfd):
    (here / "photos").mkdir()
    assert "no run folder" in refused(capfd, "clean", "photos", "--yes")
