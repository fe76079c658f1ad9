"""Transforms, losses and metrics against hand-made values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.tasks.depth.losses import LOSSES
from nas.tasks.depth.metrics import DepthMeter, figures
from nas.tasks.depth.transforms import Augmentation, Geometry, jittered
from search_spaces import UserError


def ramp(geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    """Two frames whose red is the column, green the row, and depth 1 m + 1 cm a row."""
    rows, columns = geometry.base
    v, u = np.mgrid[0:rows, 0:columns].astype(np.float32)
    image = np.stack([u * 255 / columns, v * 255 / rows, 0 * u], -1).round().astype(np.uint8)
    depth = 1 + 0.01 * v
    return torch.from_numpy(np.stack([image] * 2)), torch.from_numpy(np.stack([depth] * 2))


def test_the_geometry_is_fastdepths():
    geometry = Geometry(224)
    assert geometry.base == (250, 333) and geometry.crop == (228, 304)
    images, depths = ramp(geometry)
    pixels, metres = geometry.sample(images, depths)
    assert pixels.shape == (2, 3, 224, 224) and metres.shape == (2, 1, 224, 224)
    # the centre crop starts at row 11 and column 14.5 of 250 × 333
    assert metres[0, 0, 0, 0] == pytest.approx(1.11, abs=0.011)
    assert metres[0, 0, -1, 0] == pytest.approx(1 + 0.01 * 238, abs=0.011)
    assert pixels[0, 0, 0, 0] == pytest.approx(14.5 * 255 / 333, abs=1.5)
    assert pixels[0, 0, 0, -1] == pytest.approx(318 * 255 / 333, abs=1.5)


def test_scaling_divides_depth_and_keeps_the_centre():
    geometry = Geometry(96)
    images, depths = ramp(geometry)
    plain = geometry.sample(images, depths)[1]
    zoomed = geometry.sample(images, depths, scale=torch.tensor([1.0, 2.0]))[1]
    assert torch.equal(zoomed[0], plain[0])
    assert zoomed[1, 0, 48, 48] == pytest.approx(float(plain[0, 0, 48, 48]) / 2, abs=0.006)
    assert zoomed[1, 0, 0, 0] == pytest.approx(float(plain[0, 0, 24, 24]) / 2, abs=0.006)


def test_mirroring_turns_columns_and_rotation_turns_the_picture_counted_from_the_centre():
    geometry = Geometry(96)
    images, depths = ramp(geometry)
    plain, _ = geometry.sample(images, depths)
    turned, _ = geometry.sample(images, depths, mirror=torch.tensor([1.0, -1.0]))
    assert torch.allclose(turned[1], plain[1].flip(-1), atol=0.01)
    quarter = torch.tensor([0.0, np.pi / 2])
    turned, metres = geometry.sample(images, depths, angle=quarter)
    # after a quarter turn rows of the picture run along columns of the frame
    red = turned[1, 0, 30:66, 30:66]
    assert red.diff(dim=0).abs().mean() > 10 * red.diff(dim=1).abs().mean()
    assert (metres[1, 0, :, 0] == 0).any() or (metres[1, 0, 0] == 0).any()


def test_holes_stay_holes_and_depth_is_never_mixed():
    geometry = Geometry(64)
    images, depths = ramp(geometry)
    depths[:, 20:40, 30:50] = 0
    known = set(depths[0].flatten().tolist())
    source = np.random.default_rng(0)
    metres = Augmentation(scale=1.0)(geometry, images, depths, source)[1]
    assert set(metres.flatten().tolist()) <= known
    inner = metres[0, 0, 20:26, 24:30]
    assert (inner == 0).all() and (metres > 0).float().mean() > 0.5


@pytest.mark.parametrize("shape", [(1, 1), (7, 301), (480, 640), (641, 333)])
def test_frames_of_any_size_become_the_base_size(shape):
    geometry = Geometry(32)
    image = np.full((*shape, 3), 7, np.uint8)
    depth = np.full(shape, 2.5, np.float32)
    small, flat = geometry.to_base(image, depth)
    assert small.shape == (*geometry.base, 3) and (small == 7).all()
    assert flat.shape == geometry.base and (flat == 2.5).all()


def test_augmentation_is_a_function_of_its_numbers_and_jitter_of_one_changes_nothing():
    geometry = Geometry(64)
    images, depths = ramp(geometry)
    change = Augmentation()
    a, b, c = (change(geometry, images, depths, np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and not torch.equal(a[0], c[0])
    assert a[0].min() >= 0 and a[0].max() <= 255
    pixels = torch.rand(2, 3, 8, 8) * 255
    one = torch.ones(2)
    assert torch.allclose(jittered(pixels.clone(), one, one, one), pixels, atol=1e-3)


TARGET = torch.tensor([1.0, 2.0, 4.0, 0.0]).view(1, 1, 2, 2)
FOUND = torch.tensor([1.2, 2.0, 1.0, 9.0]).view(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", (0.2 + 0 + 3) / 3),
        # errors 0.2, 0 and 3, the limit is 0.6
        ("berhu", (0.2 + 0 + (9 + 0.36) / 1.2) / 3),
        (
            "silog",
            (np.log(1.2) ** 2 + np.log(4) ** 2) / 3 - 0.5 * ((np.log(1.2) - np.log(4)) / 3) ** 2,
        ),
    ],
)
def test_losses_count_only_known_pixels(name, expected):
    loss = LOSSES[name]
    found = FOUND.clone().requires_grad_()
    value = loss(found, TARGET)
    value.backward()
    assert float(value.detach()) == pytest.approx(expected, rel=1e-5)
    assert found.grad is not None and found.grad[0, 0, 1, 1] == 0
    assert torch.isfinite(found.grad).all() and found.grad.abs().sum() > 0
    empty = FOUND.clone().requires_grad_()
    nothing = loss(empty, torch.zeros_like(TARGET))
    nothing.backward()
    assert nothing == 0 and empty.grad is not None and (empty.grad == 0).all()
    assert loss(TARGET, TARGET) == 0


def test_figures_in_metres_over_known_pixels():
    found = {name: float(value[0]) for name, value in figures(FOUND, TARGET).items()}
    assert found == pytest.approx(
        {
            "delta1": 2 / 3,
            "delta2": 2 / 3,
            "delta3": 2 / 3,
            "rmse_m": np.sqrt((0.04 + 9) / 3),
            "mae_m": 3.2 / 3,
            "absrel": (0.2 + 0.75) / 3,
            "log10": (np.log10(1.2) + np.log10(4)) / 3,
        },
        rel=1e-5,
    )


def test_figures_are_averaged_over_images_that_have_any_depth():
    meter = DepthMeter("test", "rmse", LOSSES["l1"])
    good = torch.ones(1, 1, 2, 2)
    meter.update(torch.cat([good, FOUND]), torch.cat([good, TARGET]))
    meter.update(FOUND, torch.zeros_like(TARGET))
    found = meter.evaluation()
    assert found.images == 2
    assert found.score.to_dict() == {
        "name": "RMSE",
        "value": pytest.approx(np.sqrt((0.04 + 9) / 3) / 2, rel=1e-5),
        "unit": "m",
        "higher_is_better": False,
        "split": "test",
    }
    assert found.loss == pytest.approx(3.2 / 3 / 2, rel=1e-5)
    empty = DepthMeter("test", "delta1", LOSSES["l1"])
    with pytest.raises(UserError, match="no images with known depth"):
        empty.evaluation()


def test_predictions_that_are_nothing_count_as_wrong_and_not_as_an_error():
    nothing = {n: float(v[0]) for n, v in figures(torch.zeros_like(TARGET), TARGET).items()}
    assert nothing["delta3"] == 0 and np.isfinite(list(nothing.values())).all()
    broken = {n: float(v[0]) for n, v in figures(TARGET * float("nan"), TARGET).items()}
    assert broken["delta1"] == 0 and np.isnan(broken["rmse_m"])
