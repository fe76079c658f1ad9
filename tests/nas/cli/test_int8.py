"""From a trained network to the int8 file that ships, scored as the file that it is."""

import json
from pathlib import Path

import pytest

from lut.tflite.model import unpack
from search_spaces import space
from tests.nas.cli.commands import call, refused
from tests.nas.cli.test_commands import SMALL

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

RECIPE = "digits_quickstart"
TRAIN = [*SMALL, "--set=train.steps_per_epoch=15", "--set=train.quantization.calibration_images=64"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def trained(capfd, tmp_path):
    """The folder of a small trained network."""
    found = space("mobilenet_v3_tiny", resolution=16, channels=1, classes=10, multiplier=0.5)
    (tmp_path / "a.json").write_text(json.dumps(found.scaled(0.5).to_dict()))
    call(capfd, "train", RECIPE, "--architecture=a.json", "--name=small", *TRAIN)
    return Path("runs") / RECIPE / "train" / "small"


def test_an_exported_file_scores_what_its_weights_score(capfd, trained):
    weights = call(capfd, "evaluate", str(trained))
    whole = call(capfd, "export", str(trained))
    small = call(capfd, "export", str(trained), "--precision=int8")
    assert small["precision"] == "int8" and small["bytes"] < whole["bytes"]
    assert Path(small["file"]).name == "network-int8.tflite"
    types = {t.type for t in unpack(Path(small["file"]).read_bytes()).subgraphs[0].tensors}
    assert 9 in types
    shipped = call(capfd, "evaluate", whole["file"])
    assert shipped["score"] == weights["score"] and shipped["images"] == weights["images"]
    assert (shipped["precision"], shipped["bytes"]) == ("float32", whole["bytes"])
    # a recipe named in place of the run's own; images come with another mean, files say theirs
    recipe = str(trained / "config.yaml")
    int8 = call(capfd, "evaluate", small["file"], recipe, "--set=seed=7")
    assert int8["precision"] == "int8"
    assert abs(int8["score"]["value"] - weights["score"]["value"]) < 5


def test_what_does_not_fit_an_exported_file_is_refused(capfd, trained, tmp_path):
    file = call(capfd, "export", str(trained))["file"]
    bare = tmp_path / "elsewhere"
    bare.mkdir()
    (bare / "weights.safetensors").write_bytes((trained / "weights.safetensors").read_bytes())
    assert "--experiment" in refused(capfd, "export", str(bare), "--precision=int8")
    assert "onnx has no int8" in refused(
        capfd, "export", str(trained), "--precision=int8", "--format=onnx"
    )
    assert "takes images of 1×16×16" in refused(
        capfd, "evaluate", file, RECIPE, *SMALL[1:], "--set=space.settings.resolution=24"
    )
    assert "held out" in refused(capfd, "evaluate", file, "--split=holdout")
    content = Path(file).read_bytes()
    (bare / "cut.tflite").write_bytes(content[: len(content) // 2])
    (bare / "text.tflite").write_text("not a network")
    assert "cut.tflite" in refused(capfd, "evaluate", str(bare / "cut.tflite"), RECIPE)
    assert "text.tflite" in refused(capfd, "evaluate", str(bare / "text.tflite"), RECIPE)
    renamed = content.replace(b'"labels": ["0", "1"', b'"labels": ["8", "1"')
    assert renamed != content
    (bare / "renamed.tflite").write_bytes(renamed)
    assert "other names" in refused(
        capfd, "evaluate", str(bare / "renamed.tflite"), str(trained / "config.yaml")
    )


def test_a_device_of_one_precision_prices_no_network_of_another(capfd):
    fitted = ["--set=search.metric=latency", "--device=pixel4-cpu", "--precision=int8"]
    said = refused(capfd, "search", RECIPE, *fitted, *SMALL[:2])
    assert "pixel4-cpu prices float32 networks, not int8: name pixel4-cpu-int8" in said
    said = refused(
        capfd, "describe", "mobilenet_v2", "--device=pixel4-cpu-int8", "--precision=float32"
    )
    assert "name pixel4-cpu" in said
    assert "--precision int8" in refused(
        capfd, "describe", "mobilenet_v2", "--device=host", "--precision=int8"
    )
    data = call(capfd, "describe", "mobilenet_v2", "--device=pixel4-cpu-int8")
    assert data["device"]["precision"] == "int8"


def test_a_recipe_with_quantization_trains_both_files(capfd, trained):
    """Fine-tuned with rounding, the weights are stored as any network's."""
    tuned = ["--set=train.quantization={calibration_images: 64, epochs: 1}", "--name=tuned"]
    result = call(capfd, "train", RECIPE, "--architecture=a.json", *TRAIN[:-1], *tuned)
    rows = {(row["precision"], row["fine_tuned"]): row for row in result["shipped"]}
    assert list(rows) == [(p, t) for t in (False, True) for p in ("float32", "int8")]
    before = json.loads((trained / "result.json").read_text())
    assert rows["float32", False]["score"] == before["score"]
    assert rows["float32", False]["file"] is None
    # the weights file, evaluated by torch, is the float32 file that was fine-tuned
    whole = rows["float32", True]
    assert whole["score"] == result["score"]
    assert call(capfd, "evaluate", f"runs/{RECIPE}/train/tuned")["score"] == whole["score"]
    for row in (whole, rows["int8", True]):
        assert call(capfd, "evaluate", row["file"])["score"] == row["score"]
        assert row["bytes"] == Path(row["file"]).stat().st_size
        assert row["device"] == "host" and row["latency_measured_ms"] > 0
        assert row["latency_predicted_ms"] is None  # no table was measured
    call(capfd, "report", f"runs/{RECIPE}")
    page = Path(f"runs/{RECIPE}/report.html").read_text()
    assert "As shipped" in page and "int8, fine-tuned" in page
