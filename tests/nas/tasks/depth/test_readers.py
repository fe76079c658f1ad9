"""Recordings in the layouts in which they are passed around, and broken ones."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from nas.tasks.depth import depth_folder, nyu_depth
from nas.tasks.depth.folders import open_folder
from nas.tasks.depth.frames import BrokenFrame, checked
from nas.tasks.depth.readers import open_nyu
from search_spaces import UserError
from tests.nas.tasks.depth.files import copy_file, folder, h5_file, mat_file, pair, tree

SPACE = {"resolution": 32, "channels": 3, "classes": 1, "seed": 0, "holdout": 0.3}


def same(read, number: int, tolerance: float = 0.0) -> None:
    image, depth = read
    expected = pair(number)
    assert np.array_equal(image, expected[0]) and image.dtype == np.uint8
    assert np.abs(depth - expected[1]).max() <= tolerance and depth.dtype == np.float32


def test_fastdepths_tree(tmp_path):
    found = open_nyu(tree(tmp_path / "nyudepthv2").parent)
    assert (len(found.train), len(found.test)) == (16, 3) and found.scale == ""
    assert set(found.train.scenes) == {"kitchen_0001", "office_0002", "bedroom_0003"}
    first = found.train.name(0)
    assert first.endswith("bedroom_0003/00001.h5")
    same(found.train.read(0), 12)
    same(found.test.read(2), 52)


@pytest.mark.parametrize("splits", [True, False])
def test_the_official_file_with_its_axes_turned(tmp_path, splits):
    mat_file(tmp_path / "nyu_depth_v2_labeled.mat")
    if splits:
        indices = {"trainNdxs": [[1], [2], [5], [6]], "testNdxs": [[3], [4]]}
        savemat(tmp_path / "splits.mat", indices)
    found = open_nyu(tmp_path)
    assert "room_0000" in found.train.scenes
    if splits:
        assert (len(found.train), len(found.test)) == (4, 2)
        same(found.train.read(2), 4)
        same(found.test.read(0), 2)
    else:
        assert len(found.train) == 6 and found.test is None
        task = nyu_depth(data=tmp_path, **SPACE)
        counts = task.describe()
        assert (
            counts["test_images"] == 2 and counts["train_images"] == counts["holdout_images"] == 2
        )


def test_the_reduced_copy_keeps_reliable_frames_and_says_that_metres_are_estimated(tmp_path):
    path = copy_file(tmp_path / "nyuv2_labeled_half.npz")
    found = open_nyu(tmp_path)
    assert (len(found.train), len(found.test)) == (12, 6)
    image, depth = found.test.read(0)
    assert image.shape == (214, 281, 3)
    assert depth == pytest.approx(np.full((214, 281), (102 + 0.5) / 255 * 5.1), rel=1e-6)
    task = nyu_depth(data=path, **SPACE)
    assert task.score_name == "delta1, estimated scale"
    assert task.describe()["metres"] == "estimated scale"
    meter = task.meter("test")
    _, targets = next(task.test.batches(4))
    meter.update(targets, targets)
    assert meter.evaluation().score.name == "delta1, estimated scale"


def test_folders_of_images_with_16_bit_depth(tmp_path):
    found = open_folder(folder(tmp_path / "a"), 1000.0)
    assert len(found.train) == 9 and sorted(set(found.train.scenes)) == [
        "scene0",
        "scene1",
        "scene2",
    ]
    same(found.train.read(4), 4, 1e-3)
    folder(tmp_path / "b" / "train", scale=5000.0)
    folder(tmp_path / "b" / "val", scenes=1)
    split = open_folder(tmp_path / "b", 5000.0)
    assert (len(split.train), len(split.test)) == (9, 3)
    same(split.train.read(8), 8, 1 / 5000)


def test_manifests(tmp_path):
    folder(tmp_path / "data")
    lines = ["rgb,depth,scene", "# a comment"]
    lines += [f"data/scene{s}/rgb/{i}.png,data/scene{s}/depth/{i}.png,room{s}"
              for s in range(3) for i in range(3)]  # fmt: skip
    (tmp_path / "train.csv").write_text("\n".join(lines[:8]))
    (tmp_path / "test.csv").write_text("\n".join(lines[8:]))
    found = open_folder(tmp_path, 1000.0)
    assert list(found.train.scenes) == ["room0"] * 3 + ["room1"] * 3 and len(found.test) == 3
    same(found.test.read(1), 7, 1e-3)
    assert len(open_folder(tmp_path / "train.csv", 1000.0).train) == 6


def damaged(path: Path, how: str) -> None:
    """Replace a good frame by one that cannot be used."""
    image, depth = pair(0)
    if how == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif how == "keys":
        with h5py.File(path, "w") as file:
            file["rgb"] = image.transpose(2, 0, 1)
    else:
        changed = {
            "size": (image, depth[:40]),
            "millimetres": (image, depth * 1000),
            "zero": (image, depth * 0),
            "nan": (image, depth * np.nan),
            "channels": (image[..., :1], depth),
        }[how]
        h5_file(path, *changed)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "truncated"),
        ("keys", "no dataset 'depth'"),
        ("size", "its depth is 40×64, its image 48×64×3"),
        ("millimetres", "all its depth lies above 100 m"),
        ("zero", "0 or NaN everywhere"),
        ("nan", "0 or NaN everywhere"),
        ("channels", "rgb has shape"),
    ],
)
@pytest.mark.parametrize("cache_gb", [4.0, 0.0])
def test_broken_frames_are_named_skipped_counted_and_limited(
    tmp_path, how, words, cache_gb, caplog
):
    root = tree(tmp_path)
    damaged(root / "train" / "office_0002" / "00101.h5", how)
    settings = {**SPACE, "cache_gb": cache_gb, "rotation": 0.0}
    task = nyu_depth(data=root, **settings)
    batches = list(task.train_batches(0, 2)) + list(task.holdout.batches(4))
    assert batches and all(len(images) and (targets > 0).any() for images, targets in batches)
    assert list(task.broken.frames) == [str(root / "train" / "office_0002" / "00101.h5")]
    assert words in caplog.text and caplog.text.count("office_0002/00101.h5") == 1
    with pytest.raises(UserError, match=r"office_0002/00101\.h5: .*corrupt_limit") as refusal:
        strict = nyu_depth(data=root, **settings, corrupt_limit=0)
        list(strict.train_batches(0, 2)) + list(strict.holdout.batches(4))
    assert "\n" not in str(refusal.value)


def test_data_in_another_unit_is_refused_although_few_frames_are_allowed_for(tmp_path):
    found = folder(tmp_path, scenes=2, frames=2)
    with pytest.raises(UserError, match=r"above 100 m .*another unit"):
        depth_folder(data=found, **{**SPACE, "holdout": 1}, scale=1.0)


def test_single_unknown_pixels_are_zero_and_far_ones_too():
    image, depth = pair(0)
    depth[0, :4] = [np.nan, np.inf, -1, 500]
    assert (checked(image, depth)[1][0, :4] == 0).all()
    assert (checked(image, depth)[1][1:] > 0).all()
    with pytest.raises(BrokenFrame, match="float32"):
        checked(depth, depth)


def emptied(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def short(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def grey_depth(path: Path) -> Path:
    found = folder(path, scenes=2, frames=2)
    for file in found.rglob("depth/*.png"):
        Image.fromarray(np.ones((48, 64), dtype=np.uint8)).save(file)
    return found


def without_depth(path: Path) -> Path:
    found = folder(path)
    (found / "scene1" / "depth" / "2.png").unlink()
    return found


def truncated_mat(path: Path) -> Path:
    mat_file(path)
    path.write_bytes(path.read_bytes()[:3000])
    return path


def untransposed(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((4, 48, 64, 3), np.uint8)
        file["depths"] = np.ones((4, 48, 64), np.float32)
    return path


NYU, OWN = nyu_depth, depth_folder


@pytest.mark.parametrize(
    ("task", "build", "changes", "words"),
    [
        (NYU, lambda p: None, {}, "--data"),
        (NYU, lambda p: p / "nowhere", {}, "no such file"),
        (NYU, lambda p: emptied(p / "e"), {}, "no NYU Depth V2"),
        (NYU, lambda p: emptied(p / "e" / "train").parent, {}, "no files"),
        (NYU, lambda p: truncated_mat(p / "a.mat"), {}, "truncated"),
        (NYU, lambda p: untransposed(p / "a.mat"), {}, "do not fit"),
        (NYU, lambda p: h5_file(p / "a.mat", *pair(0)), {}, "no 'images'"),
        (NYU, lambda p: short(p / "a.npz", b"PK\x03\x04short"), {}, "broken"),
        (NYU, tree, {"form": "matlab"}, "did you mean 'mat'"),
        (NYU, tree, {"loss": "l2"}, "unknown loss"),
        (NYU, tree, {"score": "accuracy"}, "unknown score"),
        (NYU, tree, {"holdout_by": "scenes"}, "did you mean 'scene'"),
        (NYU, tree, {"holdout": 100}, "task.holdout"),
        (NYU, tree, {"channels": 1}, "3 channels"),
        (NYU, tree, {"classes": 10}, "classification"),
        (OWN, lambda p: None, {}, "--data"),
        (OWN, lambda p: p / "nowhere", {}, "no such file"),
        (OWN, lambda p: emptied(p / "e"), {}, "no images"),
        (OWN, without_depth, {}, "missing"),
        (OWN, grey_depth, {}, "not 16 bits"),
        (OWN, folder, {"scale": 0}, "above 0"),
        (OWN, lambda p: short(p / "a.csv", b"a.png\n"), {}, "entry 1"),
        (OWN, lambda p: short(p / "a.csv", b"a.png,b.png\n"), {}, "missing"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, task, build, changes, words):
    with pytest.raises(UserError, match=words) as refusal:
        task(data=build(tmp_path), **{**SPACE, **changes})
    assert "\n" not in str(refusal.value)


def test_scenes_stay_on_one_side_and_fastdepths_files_can_be_held_out(tmp_path):
    root = tree(tmp_path)
    every = open_nyu(root).train
    task = nyu_depth(data=root, **SPACE)
    held = {task.holdout.store.frames.scenes[i] for i in range(len(task.holdout))}
    assert 0 < len(task.holdout) < 16 and not held & set(task._train.frames.scenes)
    by_file = nyu_depth(data=root, **SPACE, holdout_by="fastdepth")
    frames = by_file.holdout.store.frames
    names = {Path(frames.name(i)).name for i in range(len(frames))}
    assert names == {"00001.h5", "00201.h5"} and len(frames) == len(every) // 2
