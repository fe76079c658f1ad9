"""What may change, in the recipe or as ``--keep``, ``--multiple`` and ``--minimum``."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import nas
from nas.cli import main
from nas.files import write_json
from nas.recipe.loading import load_experiment, to_yaml

NETWORK = """
from torch import nn
import torch


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, 2, 1)
        self.body = nn.Conv2d(32, 32, 3, 1, 1)
        self.head = nn.Conv2d(32, 48, 3, 2, 1)
        self.out = nn.Linear(48, 10)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.body(x))
        return self.out(torch.relu(self.head(x)).mean((2, 3)))
"""

RECIPE = """
threads: 1
accelerator: cpu
space: {name: network.py:Network, settings: {resolution: 16}, keep: [body]}
task: {name: digits, holdout: 0.2}
supernet: {epochs: 1, batch_size: 64, steps_per_epoch: 2, probe_epochs: 0}
search:
  metric: macs
  budget: 85%
  optimizers: {guided: {iterations: 2, samples: 3}}
  recalibration_images: 32
train: {epochs: 1, batch_size: 64, steps_per_epoch: 2, weights: inherited}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return tmp_path


def family(run):
    return [m["architecture"]["choices"] for m in json.loads(run.read_text())["family"]]


def refusal(capfd):
    return " ".join(capfd.readouterr().err.split())


def test_a_traced_network_is_searched_around_what_is_kept(home, capfd):
    assert main(["run", "mine.yaml"]) == 0
    found = family(home / "runs" / "mine" / "search" / "main" / "result.json")
    assert len(found) > 1
    assert {c["stem.width"] for c in found} == {32} and len({c["head.width"] for c in found}) > 1

    # the run's own configuration needs no file, and keeps what was kept
    (home / "network.py").rename(home / "moved.py")
    stored = load_experiment(home / "runs" / "mine" / "search" / "main" / "config.yaml")
    assert stored.search_space().choices["stem.width"].values == (32,)
    (home / "again.yaml").write_text(to_yaml(stored))
    assert load_experiment("again.yaml").search_space() == stored.search_space()
    command = ["search", "again.yaml", "--out", "runs/mine", "--name", "even", "--budget", "88%"]
    assert main([*command, "--multiple", "16", "--minimum", "head=0.3"]) == 0
    widths = {c["head.width"] for c in family(home / "runs/mine/search/even/result.json")}
    assert len(widths) > 1 and widths <= {16, 32, 48}

    # nothing was trained at other widths of what was kept
    capfd.readouterr()
    assert main([*command[:-3], "wide", "--set", "space.keep=[]"]) == 2
    assert "was trained without stem.width = 8, which the search may take" in refusal(capfd)
    assert main([*command[:-3], "typo", "--keep", "hed"]) == 2
    assert "unknown choice, unit or layer of space network.py:Network 'hed'; did you mean" in (
        refusal(capfd)
    )
    assert main([*command[:-3], "typo", "--minimum", "head=x"]) == 2
    assert "--minimum head=x: expected N or NAME=N" in refusal(capfd)


def test_describe_shows_what_is_tied_before_any_work(home, capfd):
    assert main(["describe", "mine.yaml", "--multiple", "16"]) == 0
    shown = capfd.readouterr().out
    assert "what may change, together" in shown and "stem, body" in shown and "32 (kept)" in shown
    assert main(["describe", "network.py:Network", "--resolution", "16", "--json"]) == 0
    groups = {g["choice"]: g for g in json.loads(capfd.readouterr().out)["groups"]}
    assert groups["stem.width"]["layers"] == ["stem", "body"]
    assert groups["stem.width"]["values"] == [8, 16, 24, 32]
    assert not groups["head.width"]["frozen"]
    write_json(home / "all.json", load_experiment("mine.yaml").search_space().largest().to_dict())
    assert main(["describe", "all.json", "--keep", "nothing"]) == 2


def test_a_module_made_smaller_around_what_is_kept():
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)).eval()
    smaller = nas.make_smaller(
        module,
        lambda copy: float(copy(torch.ones(1, 1, 8, 8)).sum()),
        "50%",
        metric="macs",
        resolution=8,
        keep=["2"],
        settings={"initial_reduction": 0.2},
    )
    first, second = [o for o in smaller.network.operations if o.type == "conv"]
    assert second.output_shape[0] == 32 and first.output_shape[0] < 32
