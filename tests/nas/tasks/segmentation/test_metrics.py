"""Loss and scores of label maps, against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from nas.tasks.depth.rooms import furnished
from nas.tasks.depth.rooms import render as with_depth
from nas.tasks.segmentation.metrics import IGNORED, Confusion, cross_entropy
from nas.tasks.segmentation.rooms import LABELS, render
from supernet.strategies.distillation import mixed


def logits_of(classes, count):
    return 10 * functional.one_hot(torch.tensor(classes), count).permute(0, 3, 1, 2).float()


def test_intersection_over_union_by_hand():
    meter = Confusion(["a", "b", "c", "never"])
    truth = torch.tensor([[[0, 0, 1, 1]], [[2, 2, 2, IGNORED]]], dtype=torch.uint8)
    found = logits_of([[[0, 1, 1, 1]], [[2, 0, 0, 3]]], 4)
    meter.update(found[:1], truth[:1])
    meter.update(found[1:], truth[1:])
    figures = meter.compute()
    # a: 1 right, 2 true, 3 found; b: 2, 2, 3; c: 1, 3, 1; the fourth occurs nowhere
    assert figures["IoU a"] == pytest.approx(25)
    assert figures["IoU b"] == pytest.approx(200 / 3)
    assert figures["IoU c"] == pytest.approx(100 / 3)
    assert math.isnan(figures["IoU never"])
    assert figures["mIoU"] == pytest.approx((25 + 200 / 3 + 100 / 3) / 3)
    assert figures["pixel accuracy"] == pytest.approx(400 / 7)


def test_outputs_that_are_not_finite_are_wrong():
    meter = Confusion(["a", "b"])
    found = logits_of([[[0, 0]]], 2)
    found[0, 0, 0, 0] = math.nan
    meter.update(found, torch.zeros(1, 1, 2, dtype=torch.uint8))
    assert meter.compute()["pixel accuracy"] == 50


def test_ignored_pixels_count_nowhere_in_the_loss():
    torch.manual_seed(0)
    outputs = torch.randn(2, 3, 4, 4, requires_grad=True)
    targets = torch.randint(3, (2, 4, 4))
    targets[:, 0] = IGNORED
    expected = functional.cross_entropy(outputs, targets, ignore_index=IGNORED)
    loss = cross_entropy(outputs, targets.to(torch.uint8))
    assert loss.item() == pytest.approx(expected.item())
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert (gradient[:, :, 0] == 0).all() and (gradient[:, :, 1:] != 0).any()
    nothing = cross_entropy(outputs, torch.full((2, 4, 4), IGNORED))
    assert nothing.item() == 0


def test_a_teacher_leaves_ignored_pixels_unknown():
    torch.manual_seed(0)
    outputs, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    targets = torch.randint(3, (2, 4, 4))
    targets[0, 0] = IGNORED
    own = cross_entropy(outputs, mixed(targets, teacher, 0.0))
    assert float(own) == pytest.approx(float(cross_entropy(outputs, targets)), rel=1e-5)
    taught = mixed(targets, teacher, 0.5)
    assert (taught[0, :, 0] == 0).all()
    assert torch.allclose(taught.sum(1)[targets != IGNORED], torch.tensor(1.0))


def test_smaller_outputs_are_enlarged():
    targets = torch.tensor([[[0, 0, 1, 1]] * 4], dtype=torch.uint8)
    small = logits_of([[[0, 1], [0, 1]]], 2)
    meter = Confusion(["a", "b"])
    meter.update(small, targets)
    assert meter.compute()["mIoU"] == 100
    assert float(cross_entropy(small, targets)) < 0.2


def test_rooms_are_those_of_the_depth_task_with_a_class_for_every_pixel():
    size = (24, 32)
    seen = set()
    for number in range(6):
        image, labels = render(1, number, size)
        assert np.array_equal(image, with_depth(1, number, size)[0])
        _, boxes, _, _ = furnished(np.random.default_rng([0x5200, 1, number]))
        possible = {"picture" if box.kind == "picture" else "furniture" for box in boxes}
        found = {LABELS[i] for i in np.unique(labels)}
        assert found <= possible | {"wall", "floor", "ceiling"}
        # a camera at a person's height looks down on the floor
        middle = labels.shape[0] // 2
        assert (labels[middle:] == 1).sum() >= (labels[:middle] == 1).sum()
        seen |= found
    assert seen == set(LABELS)
