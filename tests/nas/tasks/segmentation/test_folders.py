"""Images beside label maps, what their values mean, and how they are augmented."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.tasks.segmentation.folders import Meaning
from nas.tasks.segmentation.metrics import IGNORED
from search_spaces import UserError


def write(root, count=6, size=(40, 48), value=None, mode="L"):
    """Images whose left half is black and of class 0, the right half white and of class 1; a
    stripe at the top is ignored."""
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for i in range(count):
        height, width = size
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, width // 2 :] = 255
        labels = (pixels[:, :, 0] > 0).astype(np.uint8)
        labels[: height // 10] = 255
        if value is not None and i == count - 1:
            labels[-1, -3:] = value
        Image.fromarray(pixels).save(root / "images" / f"{i:02}.png")
        Image.fromarray(labels).convert(mode).save(root / "labels" / f"{i:02}.png")


def task(folder, *overrides, classes=2):
    return open_task(
        load_experiment(
            "segmentation_quickstart",
            [
                f"task={{name: segmentation_folder, data: {folder}, holdout: 2}}",
                f"space.settings.classes={classes}",
                "space.settings.resolution=32",
                *overrides,
            ],
        )
    )


def test_pixels_and_labels_stay_together_through_every_augmentation(tmp_path):
    write(tmp_path / "train")
    write(tmp_path / "val", 3)
    (tmp_path / "labels.txt").write_text("dark\nbright\n")
    opened = task(tmp_path, "task.settings.jitter=0.3")
    assert (opened.labels, opened.train_images, len(opened.test)) == (("dark", "bright"), 4, 3)
    changed = []
    for epoch in range(4):
        for images, labels in opened.train_batches(epoch, 4):
            assert images.shape == (4, 3, 32, 32) and labels.shape == (4, 32, 32)
            known = labels != IGNORED
            middle = (images.amax() + images.amin()) / 2
            right = (images.mean(1) > middle) == (labels == 1)
            # resampling blurs the one edge
            assert float(right[known].float().mean()) > 0.95
            changed.append(labels)
    assert len({bytes(m.numpy()) for batch in changed for m in batch}) > 8
    (_, plain), *_ = opened.test.batches(3)
    assert (plain[:, :3] == IGNORED).all() and (plain[:, 4:, :15] == 0).all()
    assert (plain[:, 4:, 17:] == 1).all()


def test_reading_each_time_is_what_is_kept_in_memory(tmp_path):
    write(tmp_path)
    kept, read = task(tmp_path), task(tmp_path, "task.settings={workers: 1}")
    for a, b in ((kept.holdout, read.holdout), (kept.test, read.test)):
        (x, y), *_ = a.batches(9)
        (other, labels), *_ = b.batches(9)
        assert (y == labels).float().mean() > 0.97 and (x - other).abs().mean() < 0.15
    assert kept.describe() == read.describe()
    assert len(kept.test) == 1  # a fifth where there is no folder of test images


def test_values_of_a_label_map():
    meaning = Meaning(classes=3, first=1, ignored=(0, 255))
    read = meaning.read(np.array([[0, 1], [3, 255]], np.uint8), "a.png")
    assert read.tolist() == [[IGNORED, 0], [2, IGNORED]]


@pytest.mark.parametrize(
    ("arguments", "overrides", "words"),
    [
        ({"value": 7}, [], "05.png: label 7 in 3 pixels; known are 0 to 1, ignored 255"),
        (
            {},
            ["task.settings.ignore=[]"],
            "label 255 in 192 pixels; known are 0 to 1, ignored none",
        ),
        ({"mode": "RGB"}, [], "00.png: an image of mode RGB; a label map has one number a pixel"),
        (
            {},
            ["task.settings.labels=[a, b, c]"],
            "3 classes, the search space 2 outputs; use --set",
        ),
        ({}, ["task.settings.flip=2"], "task.settings.flip = 2.0: must lie between 0 and 1"),
        ({}, ["task.settings.fip=0"], "did you mean 'flip'"),
        ({}, ["space.settings.channels=1"], "has 3 channels, the space asks for 1"),
        ({"count": 1}, [], "a hold-out of 0 out of 1"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, arguments, overrides, words):
    write(tmp_path, **arguments)
    with pytest.raises(UserError) as refusal:
        task(tmp_path, *overrides)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    with pytest.raises(UserError, match="no such folder; give images and label maps"):
        task(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no folder images in here"):
        task(tmp_path)
    write(tmp_path)
    (tmp_path / "labels" / "03.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"03\.png: not a readable image"):
        task(tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "labels" / "03.png")
    with pytest.raises(UserError, match=r"03\.png: 9×9 pixels, its image 40×48"):
        task(tmp_path)
    (tmp_path / "labels" / "03.png").unlink()
    with pytest.raises(UserError, match=r"its label map .*03\.png is missing"):
        task(tmp_path)
    with pytest.raises(UserError, match="needs its data"):
        task(tmp_path, "task.data=null")
