"""A network of the user's own, from a file to the exported one, through the entry point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from nas.cli import main
from nas.report.data import load_run
from nas.runs.weights import load_network
from tests.nas.cli.commands import call, refused

MODEL = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.first = nn.Conv2d(inputs, filters, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Conv2d(inputs, filters, 1, stride)

    def forward(self, x):
        y = torch.relu(self.norm(self.first(x)))
        return torch.relu(self.norm2(self.second(y)) + self.shortcut(x))


def build():
    torch.manual_seed(0)
    return nn.Sequential(
        Block(1, 16, 1), Block(16, 32, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )


def normalised():
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.LayerNorm([16, 14, 14]), nn.Flatten())


def wider():
    return nn.Sequential(
        Block(1, 24, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)
    )
"""

SPACE = """
from search_spaces.builder import GraphBuilder
from search_spaces.choices import Width


def small(*, classes=10, resolution=16, channels=1, filters=16):
    graph = GraphBuilder(input_channels=channels, resolution=resolution, bypass=True)
    x = graph.conv_unit("stem", "input", 8, kernel=3, activation="relu")
    x = graph.separable("block", x, filters, kernels=(3,), activation="relu")
    x = graph.global_pool("pool", x)
    x = graph.linear("classifier", x, Width(classes))
    return graph.build("small", x, classes=classes)
"""

RECIPE = {
    "threads": 1,
    "accelerator": "cpu",
    "space": {"name": "my_network.py:build", "settings": {"resolution": 16}},
    "task": {"name": "digits", "holdout": 0.2},
    "search": {
        "optimizer": "netadapt",
        "metric": "macs",
        "budget": "75%",
        "optimizers": {"netadapt": {"initial_reduction": 0.15}},
        "evaluator": {"name": "fine_tuning", "settings": {"steps": 2, "batch_size": 32}},
    },
    "supernet": {"epochs": 1, "steps_per_epoch": 3, "probe_epochs": 0},
    "train": {"epochs": 1, "steps_per_epoch": 3, "weights": "inherited"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_network.py").write_text(MODEL)
    Path("my_space.py").write_text(SPACE)
    Path("mine.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def test_from_describe_to_a_file_that_the_runtime_runs(capfd):
    described = call(capfd, "describe", "my_network.py:build", "--resolution=16")
    found = call(capfd, "search", "mine.yaml")
    costs = [member["metrics"]["macs"] for member in found["family"]]
    assert costs[0] == described["macs"] and len(costs) == 3 and costs[-1] <= 0.75 * costs[0]

    # the run folder is enough from here on
    Path("my_network.py").unlink()
    run = Path("runs/mine")
    stored = str(run / "search" / "main" / "config.yaml")
    trained = call(capfd, "train", stored, "--member=1", "--name=first")
    assert trained["macs"] == costs[1] and trained["weights"] == "inherited"
    first = run / "train" / "first"
    assert call(capfd, "evaluate", str(first))["score"] == trained["score"]
    assert call(capfd, "describe", str(first))["macs"] == costs[1]
    assert main(["report", str(run)]) == 0 and (run / "report.html").is_file()
    capfd.readouterr()
    exported = call(capfd, "export", str(first), "--format=tflite")

    from ai_edge_litert.interpreter import Interpreter

    images = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    interpreter = Interpreter(exported["file"])
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], images.permute(0, 2, 3, 1).numpy()
    )
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()
    with torch.no_grad():
        expected = load_network(first).module(images).numpy().ravel()
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_network_takes_the_place_of_a_recipes_space(capfd):
    given = yaml.safe_load(Path("mine.yaml").read_text())
    given["space"] = {
        "name": "mobilenet_v3_tiny",
        "settings": {"resolution": 16, "channels": 1, "classes": 10},
    }
    Path("named.yaml").write_text(yaml.safe_dump(given))
    torch.save(_state(), "weights.pth")
    found = call(
        capfd, "search", "named.yaml", "--network=my_network.py:build", "--weights=weights.pth"
    )
    start = load_network(Path("runs/named/search/main/start.safetensors")).module
    assert torch.equal(start.layer("4").linear.bias, torch.arange(10.0))
    # its members are trained with the recipe as it stands
    trained = call(capfd, "train", "named.yaml")
    assert trained["macs"] == found["best"]["metrics"]["macs"]


def _state() -> dict:
    scope: dict = {}
    exec(compile(MODEL, "model", "exec"), scope)
    state = scope["build"]().state_dict()
    state["4.bias"] = torch.arange(10.0)
    return state


def test_the_start_may_be_trained_by_this_project(capfd):
    """A super-network of which only the largest network is trained, and one of its kind."""
    largest = "--set=supernet.strategy={name: largest}"
    call(capfd, "train-supernet", "mine.yaml", largest)
    Path("my_network.py").unlink()
    stored = "runs/mine/supernet/config.yaml"
    found = call(capfd, "search", stored)
    assert found["best"]["metrics"]["macs"] <= 0.75 * found["family"][0]["metrics"]["macs"]
    trained = call(capfd, "train", stored, "--architecture=runs/mine/search/main", "--member=0")
    assert trained["macs"] == found["family"][0]["metrics"]["macs"]
    again = call(capfd, "search", stored, "--name=again", "--weights=runs/mine/train/discovered")
    assert again["best"]["metrics"]["macs"] <= 0.75 * trained["macs"]
    call(capfd, "train", stored, "--architecture=runs/mine/search/main", "--name=small")
    assert "not the largest" in refused(
        capfd, "search", stored, "--name=last", "--supernet=runs/mine/train/small"
    )


def test_baselines_of_the_same_cost_land_in_the_same_report(capfd):
    found = call(capfd, "search", "mine.yaml")
    wanted = found["best"]["metrics"]["macs"]
    call(capfd, "train", "mine.yaml")
    for kind, weights in (("pruned", "inherited"), ("scaled", "scratch")):
        trained = call(capfd, "train", "mine.yaml", f"--baseline={kind}")
        assert trained["weights"] == weights
        assert trained["macs"] == pytest.approx(wanted, rel=0.25)  # few widths
    drawn = [f"--set=search.optimizers.netadapt.{s}" for s in ("rule=random", "multiple=8")]
    call(capfd, "search", "mine.yaml", *drawn, "--name=random")
    source = "--architecture=runs/mine/search/random"
    call(capfd, "train", "mine.yaml", source, "--name=random")
    rows = {row.label: row.role for row in load_run(Path("runs/mine")).compared}
    assert rows == {
        "discovered": "discovered",
        "pruned": "pruned",
        "random": "random",
        "scaled": "scaled",
    }
    assert "did you mean 'scaled'" in refused(capfd, "train", "mine.yaml", "--baseline=scale")


def test_pruning_keeps_the_filters_of_the_largest_norm(capfd):
    """With no step of training the pruned network is a part of the one it started from."""
    call(capfd, "search", "mine.yaml", "--budget=45%")
    call(
        capfd,
        *("train", "mine.yaml", "--baseline=pruned"),
        *("--set=train.lr=1e-12", "--set=train.weight_decay=0"),
    )
    start = load_network(Path("runs/mine/search/main/start.safetensors")).module
    small = load_network(Path("runs/mine/train/pruned")).module
    name = next(o.name for o in small.network.operations if o.type == "conv")
    whole, kept = (n.layer(name).conv.weight.flatten(1) for n in (start, small))
    assert len(kept) < len(whole)
    largest = whole.norm(dim=1).sort(descending=True).values[: len(kept)]
    assert torch.allclose(kept.norm(dim=1).sort(descending=True).values, largest, rtol=1e-4)


def test_several_groups_an_iteration_with_a_trained_network(capfd):
    found = call(
        capfd,
        *("search", "mine.yaml", "--optimizer=mcd"),
        "--set=search.optimizers.mcd={iterations: 2, samples: 3, layers: 2, tolerance: 0.1}",
    )
    assert found["optimizer"] == "mcd" and found["best"] is not None
    assert Path("runs/mine/search/main/weights/1.safetensors").is_file()


def test_a_space_of_the_users_own_goes_by_its_file(capfd):
    given = [
        "mine.yaml",
        "--set=space={name: 'my_space.py:small', settings: {filters: 24}}",
        "--set=search.optimizer=mcd",
        "--set=search.optimizers={mcd: {iterations: 1, samples: 2, tolerance: 0.5}}",
        "--set=search.evaluator=null",
        "--set=search.recalibration_images=64",
    ]
    assert call(capfd, "run", *given)["architecture"]["graph"]["name"] == "small"
    Path("my_space.py").unlink()
    assert call(capfd, "describe", "runs/mine/train/discovered")["macs"] > 0
    Path("my_space.py").write_text(SPACE)
    assert "did you mean 'filters'" in refused(
        capfd,
        "search",
        "mine.yaml",
        "--set=space={name: 'my_space.py:small', settings: {filter: 8}}",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network=my_network.py:normalised"], "layer normalisation"),
        (["--network=my_network.py:bild"], "did you mean 'build'"),
        (["--network=gone.py:build"], "no file gone.py"),
        (["--weights=other.pth"], "tensors"),
        (["--weights=gone.pth"], "gone.pth"),
        (["--budget=5%"], "smallest network"),
        (["--set=search.optimizers.netadapt.initial_reduction=0.01"], "raise initial_reduction"),
        (["--set=search.evaluator.settings.steps=many"], "steps = 'many'"),
        (["--set=space.settings.classes=7"], "classes = 10"),
        (["--set=search.evaluator.settings.step=7"], "did you mean 'steps'"),
        (["--optimizer=mcd", "--set=search.evaluator=null"], "train-supernet"),
        (["--supernet=gone"], "gone"),
    ],
)
def test_a_users_mistake_is_one_line(capfd, folder, arguments, words):
    scope: dict = {}
    exec(compile(MODEL, "model", "exec"), scope)
    torch.save(scope["wider"]().state_dict(), "other.pth")
    assert words in refused(capfd, "search", "mine.yaml", *arguments)


def test_fine_tuning_that_diverges_is_dropped_and_counted(capfd):
    """With a learning rate that no proposal survives the search ends and says so."""
    found = call(capfd, "search", "mine.yaml", "--set=search.evaluator.settings.lr=1e30")
    assert found["failures"] > 0 and found["best"] is None and "failed" in found["stopped"]
    assert "ended before every budget" in refused(capfd, "train", "mine.yaml")


METRIC = """
def large(network):
    assert network.input_shape == (1, 64, 64), network.input_shape
    return network.macs
"""


def test_baselines_are_priced_where_the_search_prices(capfd):
    """At the resolution that the networks are for, and trained at the space's own."""
    Path("my_metric.py").write_text(METRIC)
    given = yaml.safe_load(Path("mine.yaml").read_text())
    given["space"] = {
        "name": "mobilenet_v3_tiny",
        "settings": {"resolution": 16, "channels": 1, "classes": 10},
    }
    given["search"] = {
        "metric": "large",
        "metrics": {"large": "my_metric.py:large"},
        "budget": "50%",
        "resolution": 64,
        "optimizers": {"guided": {"iterations": 2, "samples": 2}},
        "recalibration_images": 64,
    }
    Path("other.yaml").write_text(yaml.safe_dump(given))
    call(capfd, "train-supernet", "other.yaml")
    call(capfd, "search", "other.yaml")
    trained = call(capfd, "train", "other.yaml", "--baseline=scaled")
    assert trained["architecture"]["resolution"] == 16
