"""Segmentation through the three steps, export, evaluation and report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.cli import main
from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.steps.run import run
from nas.tasks.segmentation.rooms import LABELS
from supernet import CompactNetwork

SHORT = [
    "space.settings={resolution: 32, classes: 5, multiplier: 0.125, head: logits}",
    "task.settings={images: 24, test_images: 8}",
    "task.holdout=8",
    "supernet.epochs=1",
    "supernet.probe_epochs=1",
    "supernet.strategy.settings={groups: 2, distil: 0.5}",
    "search.metric=macs",
    "search.budget=70%",
    "search.optimizers.guided={iterations: 2, samples: 2}",
    "search.recalibration_images=8",
    "train.epochs=1",
    "train.quantization={calibration_images: 4}",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("segmentation") / "run"
    run(load_experiment("segmentation_quickstart", SHORT), out)
    return out


def test_every_result_says_miou_and_pixel_accuracy(finished):
    result = json.loads((finished / "train" / "discovered" / "result.json").read_text())
    assert (result["score"]["name"], result["score"]["unit"]) == ("mIoU", "%")
    assert result["beside"]["name"] == "pixel accuracy" and result["beside"]["unit"] == "%"
    assert 0 < result["beside"]["value"] <= 100
    assert {f"IoU {name}" for name in LABELS} <= set(result["details"])
    assert [s["precision"] for s in result["shipped"]] == ["float32", "int8"]
    assert result["shipped"][0]["score"]["value"] == pytest.approx(result["score"]["value"])


def test_pictures_and_report(finished):
    picture = Image.open(finished / "train" / "discovered" / "examples.png")
    assert picture.width > 500 and len(picture.convert("RGB").getcolors(1 << 24)) > 100
    assert main(["report", str(finished)]) == 0
    page = (finished / "report.html").read_text()
    assert "mIoU" in page and "pixel accuracy" in page
    assert 'src="data:image/png;base64,' in page


def test_the_file_that_ships_is_scored(finished, capfd):
    file = finished / "train" / "discovered" / "network.tflite"
    config = finished / "train" / "discovered" / "config.yaml"
    assert main(["evaluate", str(file), str(config), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["score"]["name"] == "mIoU" and found["images"] == 8


def test_a_photograph_becomes_a_label_map(finished, tmp_path, capfd):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    command = ["evaluate", str(finished), "--image", str(tmp_path / "photo.jpg"), "--json"]
    assert main(command) == 0
    data = json.loads(capfd.readouterr().out)
    assert set(data["outputs"]) <= set(LABELS)
    assert sum(data["outputs"].values()) == pytest.approx(1, abs=1e-3)
    assert Image.open(data["picture"]).width > 300


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("task.data=here", "renders its own data; remove task.data"),
        ("task.settings.images=1", "needs images >= 2"),
        ("space.settings.classes=7", "has 5 classes, the search space 7 outputs"),
        ("space.settings.head=logit", "'logit': input should be 'depth' or 'logits'"),
        ("supernet.label_smoothing=0.1", "is its own; smooth there"),
    ],
)
def test_what_does_not_fit_is_one_line(override, words, tmp_path, capfd):
    settings = [f"--set={s}" for s in (*SHORT, override)]
    out = f"--out={tmp_path / 'run'}"
    assert main(["train-supernet", "segmentation_quickstart", *settings, out]) == 2
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert words in said and said.startswith("nas: ")


def test_the_network_of_the_page_is_a_space(tmp_path, monkeypatch):
    """Torchvision's LR-ASPP, whose output is as large as the image."""
    page = (Path(__file__).parents[4] / "docs" / "segmentation.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "lraspp.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    space = "space={name: lraspp.py:Segmenter, settings: {resolution: 32, classes: 5}}"
    experiment = load_experiment("segmentation_quickstart", [*SHORT[1:3], space])
    searched, task = experiment.search_space(), open_task(experiment)
    assert len(searched.choices) > 20
    network = CompactNetwork(searched.describe(searched.smallest()))
    images, targets = next(task.train_batches(0, 4))
    task.loss(network(images), targets).backward()
    assert network(images).shape == (4, 5, 32, 32)
