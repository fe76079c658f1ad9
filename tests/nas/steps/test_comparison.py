"""Variations over seeds through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.recipe.comparison import comparisons, load_comparison
from nas.runs.statistics import half_interval, spread
from tests.nas.cli.commands import call, refused

FILE = """
recipe: digits_quickstart
seeds: [3]
set:
  - space.settings.resolution=16
  - space.settings.multiplier=0.5
  - supernet.epochs=1
  - supernet.steps_per_epoch=3
  - supernet.probe_epochs=0
  - train.epochs=1
  - train.steps_per_epoch=3
  - search.recalibration_images=64
  - search.metric=macs
  - search.optimizer=random
  - "search.optimizers.random={iterations: 1, samples: 2}"
variations:
  random: {}
  scaled: {of: random, baseline: scaled}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_comparison_is_ordinary_runs_and_keeps_what_is_finished(folder, capfd):
    (folder / "small.yaml").write_text(FILE)
    found = call(capfd, "compare", "small.yaml")
    run = folder / "runs" / "small" / "seed-3" / "random"
    kept = {p: p.stat().st_mtime_ns for p in run.rglob("result.json")}
    assert {p.parent.relative_to(run).as_posix() for p in kept} == {
        "supernet",
        "search/random",
        "train/random",
        "train/scaled",
    }
    first, second = found["rows"]
    assert first["points"][0]["seed"] == 3 and first["evaluations"] == 3
    assert set(first["seconds"]) == {"supernet", "search", "train"}
    assert set(second["seconds"]) == {"train"}
    assert second["cost"] == pytest.approx(first["cost"], rel=0.05)
    trained = json.loads((run / "train" / "scaled" / "result.json").read_text())
    assert second["mean"] == trained["score"]["value"]
    lines = (folder / "runs" / "small" / "comparison.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["random", "3"], ["scaled", "3"]]
    assert "scaled" in (folder / "runs" / "small" / "comparison.svg").read_text()

    again = call(capfd, "compare", "small.yaml")
    assert again["rows"] == found["rows"]
    assert {p: p.stat().st_mtime_ns for p in run.rglob("result.json")} == kept


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("of: random", "of: randm"), "random"),
        (("{of: random, baseline: scaled}", "{baseline: scaled}"), "of: LABEL"),
        (("baseline: scaled", "within: 2"), "within"),
        (("seeds: [3]", "seeds: []"), "seeds"),
        (("seeds: [3]", "seeds: [1, 1]"), "each once"),
        (("recipe: digits_quickstart", "recipe: digits_quickstrt"), "digits_quickstart"),
        (("supernet.epochs=1", "supernet.epoch=1"), "epochs"),
        (("variations:", "variation:"), "variations"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(folder, capfd, change, says):
    (folder / "small.yaml").write_text(FILE.replace(*change, 1))
    assert says in refused(capfd, "compare", "small.yaml")
    assert not (folder / "runs").exists()


def test_shipped_comparisons_can_be_planned(capfd):
    assert comparisons()
    for name in comparisons():
        found = load_comparison(name)
        steps = call(capfd, "compare", name, "--dry-run")["steps"]
        assert len(steps) > len(found.seeds) * len(found.variations)


def test_intervals_are_students():
    # two differences: t(0.975, 1) = 12.706, standard error 1
    assert half_interval([1.0, 3.0]) == pytest.approx(12.706, rel=1e-3)
    assert half_interval([1.0]) is None and spread([]) is None
