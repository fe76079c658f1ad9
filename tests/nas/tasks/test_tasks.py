from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.tasks.cifar10 import cifar10
from nas.tasks.classification import AccuracyMeter
from nas.tasks.digits import digits
from nas.tasks.image_folder import image_folder
from nas.tasks.score import mean_interval, share_interval
from nas.tasks.splits import stratified_holdout
from search_spaces import UserError

COMMON = {"channels": 3, "classes": 10, "seed": 0, "holdout": 0.2}


def pixels(generator: np.random.Generator, count: int, size: int) -> np.ndarray:
    return generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty images in four class folders below train, twelve below val."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 3)):
        for label in ("ant", "bee", "cat", "dog"):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for i, image in enumerate(pixels(generator, count, 40)):
                Image.fromarray(image).save(folder / f"{i}.png")
    return tmp_path / "photos"


def folder_task(data: Path, **changes: object):
    arguments = {"resolution": 32, **COMMON, "classes": 4, "workers": 0, **changes}
    return image_folder(data=data, **arguments)


def jpeg_file(path: Path) -> Path:
    generator = np.random.default_rng(0)
    data = {"classes": np.array([f"c{i}" for i in range(10)])}
    for split, count in (("train", 60), ("test", 20)):
        parts = []
        for image in pixels(generator, count, 32):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG")
            parts.append(buffer.getvalue())
        data[f"{split}_jpeg"] = np.frombuffer(b"".join(parts), np.uint8)
        data[f"{split}_offsets"] = np.cumsum([0] + [len(p) for p in parts])
        data[f"{split}_labels"] = np.arange(count, dtype=np.uint8) % 10
    np.savez(path, **data)
    return path


@pytest.fixture(params=["digits", "cifar10", "photos", "photos in workers"])
def task(request, tmp_path):
    if request.param == "digits":
        return digits(data=None, resolution=16, **COMMON)
    if request.param == "cifar10":
        return cifar10(data=jpeg_file(tmp_path / "cifar10_jpeg.npz"), resolution=32, **COMMON)
    workers = 2 if "workers" in request.param else 0
    return folder_task(request.getfixturevalue("photos"), workers=workers, mixup=0.2, erase=0.3)


def test_batches_are_a_function_of_seed_epoch_and_step(task):
    whole = list(task.train_batches(3, 8))
    later = list(task.train_batches(3, 8, start=2))
    other = next(task.train_batches(4, 8))
    assert len(whole) == task.train_images // 8 == len(later) + 2
    for (images, targets), (again, same) in zip(whole[2:], later, strict=True):
        assert torch.equal(images, again) and torch.equal(targets, same)
    assert not torch.equal(whole[0][0], other[0])


def test_images_are_normalised_and_channels_last(task):
    images, targets = next(task.train_batches(0, 8))
    shape = (8, task.input_channels, task.resolution, task.resolution)
    assert images.shape == shape and images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(task.loss(torch.zeros(8, task.classes), targets))
    calibration = task.calibration(9, 8)
    # a last batch of one image would have no variance, and count as much as the others
    assert [len(x) for x in calibration] == [5, 4]
    assert all(a is b for a, b in zip(calibration, task.calibration(9, 8), strict=True))
    at_once = torch.cat(list(task.calibration(9, 9)))
    assert torch.equal(torch.cat(list(calibration)), at_once)


def test_splits_share_no_image_and_are_read_in_order(task):
    def seen(batches):
        return {tuple(image.flatten().tolist()) for images, _ in batches for image in images}

    holdout, test = seen(task.holdout.batches(7)), seen(task.test.batches(7))
    training = seen([(x, None) for x in task.calibration(10**6, 64)])
    assert not holdout & test and not holdout & training and not test & training
    described = task.describe()
    assert described["holdout_images"] == len(task.holdout)
    first = torch.cat([y for _, y in task.holdout.batches(7)])
    second = torch.cat([y for _, y in task.holdout.batches(100)])
    assert torch.equal(first, second)


def test_the_holdout_keeps_the_share_of_every_class():
    labels = np.repeat([0, 1, 2], [1000, 100, 10])
    rest, chosen = stratified_holdout(labels, 0.1, 5, task="t")
    assert np.bincount(labels[chosen]).tolist() == [100, 10, 1]
    assert sorted([*rest, *chosen]) == list(range(1110))
    again = stratified_holdout(labels, 111, 5, task="t")[1]
    other = stratified_holdout(labels, 0.1, 6, task="t")[1]
    assert np.array_equal(chosen, again) and not np.array_equal(chosen, other)


def test_accuracy_counts_ties_and_nan_as_wrong():
    meter = AccuracyMeter("test")
    outputs = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, float("nan"), 0], [0, 0, 3]])
    meter.update(outputs, torch.tensor([0, 1, 1, 0]))
    found = meter.evaluation()
    assert found.score.to_dict() == {
        "name": "top-1 accuracy",
        "value": 25.0,
        "unit": "%",
        "higher_is_better": True,
        "split": "test",
    }
    with pytest.raises(UserError, match="no images"):
        AccuracyMeter("test").evaluation()


def test_accuracy_has_the_interval_of_a_share():
    meter = AccuracyMeter("holdout")
    outputs = torch.eye(2)[[0] * 80 + [1] * 20]
    meter.update(outputs, torch.zeros(100, dtype=torch.long))
    found = meter.evaluation()
    assert found.score.value == 80
    # statsmodels.stats.proportion.proportion_confint(80, 100, method="wilson")
    assert found.interval == pytest.approx((71.1170, 86.6633), abs=1e-3)
    assert share_interval(10, 10) == pytest.approx((72.2467, 100), abs=1e-3)


def test_a_mean_over_images_has_the_interval_of_their_spread():
    low, high = mean_interval(10.0, 30.0, 5)  # 0, 1, 2, 3, 4: mean 2, deviation √2.5
    assert (low + high) / 2 == 2
    assert high - low == pytest.approx(2 * 1.95996 * math.sqrt(2.5 / 5), rel=1e-4)
    assert mean_interval(1.0, 1.0, 1) is None


def test_unreadable_images_are_skipped_named_and_limited(photos, caplog):
    for name in ("3.png", "4.png"):
        (photos / "train" / "bee" / name).write_bytes(b"no image")
    task = folder_task(photos)
    images = sum(len(x) for x, _ in task.train_batches(0, 8))
    list(task.holdout.batches(8))
    assert images == 32 and "bee/" in caplog.text and task.broken
    strict = folder_task(photos, corrupt_limit=0)
    with pytest.raises(UserError, match="cannot be read"):
        list(strict.train_batches(0, 8)), list(strict.holdout.batches(8))


def test_one_folder_is_cut_into_training_and_test(photos):
    task = folder_task(photos / "train", holdout=4)
    counts = task.describe()
    assert (counts["train_images"], counts["holdout_images"], counts["test_images"]) == (28, 4, 8)
    assert task.labels == ["ant", "bee", "cat", "dog"]


def truncated(path: Path) -> Path:
    jpeg_file(path)
    path.write_bytes(path.read_bytes()[:5000])
    return path


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda p: digits(data=p, resolution=16, **COMMON), "brings its own data"),
        (lambda p: digits(data=None, resolution=16, **{**COMMON, "classes": 9}), "classes=10"),
        (lambda p: digits(data=None, resolution=16, **{**COMMON, "holdout": 5000}), "holdout"),
        (lambda p: cifar10(data=None, resolution=32, **COMMON), "--data"),
        (lambda p: cifar10(data=p / "nowhere", resolution=32, **COMMON), "no such file"),
        (lambda p: cifar10(data=p, resolution=32, **COMMON), "is this CIFAR-10"),
        (lambda p: cifar10(data=p, resolution=64, **COMMON), "32 px"),
        (lambda p: cifar10(data=truncated(p / "a.npz"), resolution=32, **COMMON), "broken|not a"),
        (lambda p: folder_task(p / "nowhere"), "no such folder"),
        (lambda p: folder_task(p), "Found 0 images"),
    ],
)
def test_data_that_does_not_fit_is_refused_in_one_line(build, words, tmp_path):
    with pytest.raises(UserError, match=words) as refusal:
        build(tmp_path)
    assert "\n" not in str(refusal.value)


def test_classes_of_data_and_space_must_agree(photos):
    with pytest.raises(UserError, match=r"space\.settings\.classes=4"):
        folder_task(photos, classes=5)


def test_unknown_settings_of_a_task_are_refused():
    experiment = load_experiment("digits_quickstart", ["task.settings.pading=3"])
    with pytest.raises(UserError, match="did you mean 'padding'"):
        open_task(experiment)
