"""A dense task through every step: training, search, files, report, photographs."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from nas.cli import main
from nas.recipe.loading import load_experiment
from nas.report import write_report
from nas.runs.weights import load_network, load_supernet, start_encoder
from nas.steps import train_supernet
from nas.steps.run import run
from nas.tasks.depth import nyu_depth, rooms
from search_spaces import UserError, space
from supernet import CompactNetwork, Supernet
from supernet.prior import set_output_prior
from supernet.strategies import strategy
from supernet.strategies.distillation import mixed
from tests.nas.tasks.depth.files import tree

SHORT = [
    "space.settings.resolution=32",
    "task.settings={images: 28, test_images: 5, score: rmse}",
    "supernet.epochs=1",
    "supernet.steps_per_epoch=2",
    "supernet.probe_epochs=1",
    "train.epochs=1",
    "train.steps_per_epoch=2",
    "search.metric=macs",
    "search.recalibration_images=16",
    "search.optimizers.guided={iterations: 2, samples: 3}",
]

CLASSES = [
    "space.name=mobilenet_v1",
    "space.settings={resolution: 32, channels: 3, classes: 10, multiplier: 0.25}",
    "supernet.epochs=1",
    "supernet.steps_per_epoch=2",
    "supernet.probe_epochs=0",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run on rooms that went by RMSE."""
    out = tmp_path_factory.mktemp("depth") / "run"
    run(load_experiment("depth_quickstart", SHORT), out)
    return out


@pytest.fixture(scope="module")
def classified(tmp_path_factory) -> Path:
    """A super-network of digits in three channels."""
    out = tmp_path_factory.mktemp("digits") / "run"
    train_supernet(load_experiment("digits_quickstart", CLASSES), out)
    return out


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_a_search_by_rmse_takes_the_smaller_and_everything_says_metres(finished):
    found, trained = result(finished / "search" / "main"), result(finished / "train" / "discovered")
    assert found["best"]["score"]["unit"] == "m" and not found["best"]["score"]["higher_is_better"]
    assert len(found["family"]) >= 2
    beside = [member["beside"] for member in found["family"]]
    assert all(b["name"] == "delta1" and 0 <= b["value"] <= 1 for b in beside)
    assert trained["beside"]["value"] == pytest.approx(trained["details"]["delta1"])
    assert trained["score"]["name"] == "RMSE" and trained["score"]["unit"] == "m"
    assert trained["score"]["value"] == pytest.approx(trained["details"]["rmse_m"])
    assert 0 <= trained["details"]["delta1"] <= trained["details"]["delta3"] <= 1
    references = trained["references"]
    assert list(references) == ["mean depth map", "geometric-mean depth map"]
    assert all(r["score"]["value"] > 0 for r in references.values())


def test_the_mean_maps_are_the_means_of_the_training_images():
    task = rooms(data=None, resolution=32, channels=3, classes=1, seed=0, holdout=4,
                 images=12, test_images=3)  # fmt: skip
    images, depths = task._train.kept()
    truth = task.geometry.sample(images, depths)[1]
    mean = torch.stack(
        [truth[:, 0, i, j][truth[:, 0, i, j] > 0].mean() for i in range(32) for j in range(32)]
    )
    assert not mean.isnan().any()
    meter = task.meter("test")
    _, targets = next(task.test.batches(3))
    meter.update(mean.view(1, 1, 32, 32).expand_as(targets), targets)
    expected = meter.evaluation().details
    assert task.references()["mean depth map"].details == pytest.approx(expected, rel=1e-5)
    known = truth[truth > 0]
    expected_prior = (float(known.mean()), float(known.std()))
    assert task.output_prior() == pytest.approx(expected_prior, abs=1e-3)


def test_the_report_shows_test_images_and_nothing_is_loaded(finished, tmp_path):
    page = write_report([finished], tmp_path / "report.html").read_text()
    assert 'src="data:image/png;base64,' in page and "Test images" in page
    assert "RMSE" in page and " m<" in page
    assert "Score against MACs" in page and "delta1 against MACs" in page
    picture = Image.open(finished / "train" / "discovered" / "examples.png")
    assert picture.width > 500 and len(picture.convert("RGB").getcolors(1 << 24)) > 100


@pytest.mark.parametrize("size", [(61, 37), (16, 200), (640, 480)])
def test_a_photograph_becomes_a_depth_picture(finished, tmp_path, capfd, size):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    photo = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(photo)
    assert main(["evaluate", str(finished), "--image", str(photo), "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert data["picture"] == str(tmp_path / "photo.depth.png")
    assert list(data["outputs"]) == ["nearest depth (m)", "median depth (m)", "farthest depth (m)"]
    assert Image.open(data["picture"]).width > 300
    trained = load_network(finished)
    small = Image.open(photo).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    mean, std = np.array(trained.preparation.mean), np.array(trained.preparation.std)
    x = torch.from_numpy((np.asarray(small) / 255 - mean) / std).float().permute(2, 0, 1)[None]
    values = trained.module(x).detach()
    assert data["outputs"]["farthest depth (m)"] == pytest.approx(float(values.max()), abs=2e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "missing.jpg"], "missing.jpg: not a readable image"),
        (["--image", "text.jpg"], "text.jpg: not a readable image"),
        (["--image", "a.png", "--picture", "a.png"], "is the photograph itself"),
        (["--picture", "a.png"], "--picture needs --image"),
    ],
)
def test_no_photograph_is_one_clear_line(finished, tmp_path, monkeypatch, capfd, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    assert main(["evaluate", str(finished), *arguments]) == 2
    err = capfd.readouterr().err
    assert words in err and err.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_exported_file_computes_the_same_map_and_names_its_unit(finished, tmp_path, capfd):
    out = tmp_path / "depth.tflite"
    arguments = ["export", str(finished), "--format=tflite", f"--out={out}"]
    assert main(arguments) == 0, capfd.readouterr().err
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(str(out), num_threads=1)
    interpreter.allocate_tensors()
    image = torch.randn(1, 3, 32, 32)
    nhwc = image.permute(0, 2, 3, 1).contiguous().numpy()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], nhwc)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = load_network(finished).module(image).detach().permute(0, 2, 3, 1).numpy()
    assert expected.shape == (1, 32, 32, 1)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
    assert b"depth (m)" in out.read_bytes()


def test_an_encoder_that_learned_classes_starts_the_super_network(classified, tmp_path):
    shared = load_supernet(classified / "supernet").state_dict()
    depth = Supernet(space("fastdepth", resolution=32, multiplier=0.25))
    before = {k: v.clone() for k, v in depth.state_dict().items()}
    found = start_encoder(depth, classified / "supernet")
    after = depth.state_dict()
    taken = {k for k in after if k in shared}
    assert found.layers == 27 and found.task == "digits" and len(taken) > 100
    assert all(torch.equal(after[k], shared[k]) for k in taken)
    assert all(torch.equal(after[k], before[k]) for k in after if k not in shared)
    assert found.seconds == result(classified / "supernet")["seconds"]

    # a narrower network takes the first filters
    narrow = Supernet(space("fastdepth", resolution=32, multiplier=0.125))
    assert start_encoder(narrow, classified / "supernet").layers == 27
    cut = narrow.state_dict()
    assert all(torch.equal(cut[k], shared[k][tuple(map(slice, cut[k].shape))]) for k in taken)

    encoder = [f"supernet.encoder={classified / 'supernet'}"]
    encoder += [f"train.encoder={classified / 'supernet'}"]
    summary = run(load_experiment("depth_quickstart", [*SHORT, *encoder]), tmp_path / "run")
    assert list(summary.seconds) == ["encoder", "supernet", "search", "train"]
    assert summary.seconds["encoder"] == pytest.approx(found.seconds)
    told = result(tmp_path / "run" / "supernet")["encoder"]
    assert told["layers"] == 27 and told["task"] == "digits"
    page = write_report([tmp_path / "run"], tmp_path / "report.html").read_text()
    assert "Train encoder" in page


def test_checkpoints_of_another_task_are_refused(classified, finished, tmp_path, capfd):
    def refused(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and "Traceback" not in err
        return err

    depth = [f"--set={text}" for text in SHORT]
    out = f"--out={tmp_path / 'run'}"
    supernet = f"--supernet={classified / 'supernet'}"
    assert "'mobilenet_v1'" in refused("search", "depth_quickstart", *depth, supernet, out)
    assert "holds a supernet, expected a network" in refused(
        "evaluate", str(classified / "supernet"), "--experiment=depth_quickstart", *depth
    )
    other = [*depth, "--set=supernet.encoder=" + str(finished / "search")]
    assert "weights.safetensors" in refused("train-supernet", "depth_quickstart", *other, out)
    tiny = ["space={name: mobilenet_v3_tiny, settings: {resolution: 16, channels: 1, classes: 10}}"]
    train_supernet(load_experiment("digits_quickstart", [*CLASSES, *tiny]), tmp_path / "tiny")
    with pytest.raises(UserError, match="shares no layer with space fastdepth"):
        start_encoder(Supernet(space("fastdepth", resolution=32)), tmp_path / "tiny" / "supernet")
    wrong = "--set=space={name: mobilenet_v1, settings: {resolution: 32, classes: 10}}"
    assert "classification" in refused("train-supernet", "depth_quickstart", depth[1], wrong, out)
    assert "label_smoothing" in refused(
        "train-supernet", "depth_quickstart", *depth, "--set=supernet.label_smoothing=0.1", out
    )


def test_the_first_output_has_the_targets_mean():
    fast = space("fastdepth", resolution=32, multiplier=0.25)
    network = CompactNetwork(fast.describe(fast.largest()))
    set_output_prior(network, 3.0, 0.5)
    out = network(torch.randn(8, 3, 32, 32)).detach()
    assert float(out.mean()) == pytest.approx(3, abs=0.01)
    assert float(out.std()) == pytest.approx(0.5, abs=0.02)
    module = Supernet(fast)
    set_output_prior(module, 3.0, 0.5)
    assert float(module(torch.randn(8, 3, 32, 32)).detach().mean()) == pytest.approx(3, abs=0.01)


def test_maps_are_distilled_and_unknown_pixels_stay_unknown():
    targets = torch.tensor([0.0, 2.0, 4.0, 1.0]).view(1, 1, 2, 2)
    teacher = torch.tensor([3.0, 4.0, 0.0, 0.0]).view(1, 1, 2, 2)
    assert mixed(targets, teacher, 0.25).flatten().tolist() == [0.0, 2.5, 3.0, 0.75]
    taught = mixed(targets, teacher, 1.0).flatten()
    assert taught[0] == 0 and taught[1] == 4 and (taught[1:] > 0).all()
    task = rooms(data=None, resolution=32, channels=3, classes=1, seed=0, holdout=2,
                 images=10, test_images=1)  # fmt: skip
    images, depths = next(task.train_batches(0, 8))
    for name, settings in (
        ("ordered_dropout", {"groups": 4, "distil": 0.5}),
        ("sandwich", {"random": 1, "distil": True}),
    ):
        module = Supernet(space("fastdepth", resolution=32, multiplier=0.25))
        plan = strategy(name, **settings)
        passes = list(plan.passes(module, images, depths, 1.0, Random(0)))
        for found, wanted, _ in passes:
            assert wanted.shape == depths.shape and torch.equal(wanted == 0, depths == 0)
            assert torch.isfinite(task.loss(found, wanted))
        assert not torch.equal(passes[-1].targets, depths)


@pytest.mark.parametrize(("cache_gb", "workers"), [(4.0, 0), (0.0, 0), (0.0, 2)])
def test_batches_are_a_function_of_seed_epoch_and_step_however_frames_are_read(
    tmp_path, cache_gb, workers
):
    common = {"resolution": 32, "channels": 3, "classes": 1, "seed": 3, "holdout": 0.3}
    root = tree(tmp_path)
    plain = nyu_depth(data=root, **common)
    other = nyu_depth(data=root, **common, cache_gb=cache_gb, workers=workers)
    whole = list(plain.train_batches(2, 3))
    later = list(other.train_batches(2, 3, start=1))
    assert len(whole) == plain.train_images // 3 == len(later) + 1
    for (images, depths), (again, same) in zip(whole[1:], later, strict=True):
        assert torch.equal(images, again) and torch.equal(depths, same)
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(whole[0][0], next(plain.train_batches(3, 3))[0])
    for a, b in zip(plain.calibration(5, 2), other.calibration(5, 2), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(plain.test.batches(2), other.test.batches(2), strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
