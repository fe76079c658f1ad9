"""Handwritten digits that come with scikit-learn: 1,797 real 8×8 images, no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from nas.tasks.in_memory import InMemoryClassification
from nas.tasks.splits import TEST_SEED
from search_spaces import UserError

TEST_SHARE = 0.25


def digits(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    padding: int = 1,
) -> InMemoryClassification:
    """The digits, enlarged bilinearly, grey or repeated over three channels.

    Args:
        data: must be None; the images come with scikit-learn.
        resolution: height and width in pixels.
        channels: 1 or 3.
        classes: outputs of the search space.
        seed: fixes hold-out, order and augmentation.
        holdout: share or number of training images.
        padding: random shifts by up to this many pixels.

    Raises:
        UserError: a data path, other channels, or other than ten classes.
    """
    from sklearn.datasets import load_digits

    if data is not None:
        raise UserError("task digits brings its own data; remove task.data")
    if channels not in (1, 3):
        raise UserError(f"task digits has 1 or 3 channels, the space asks for {channels}")
    bunch = load_digits()
    grey = torch.from_numpy(bunch.images.astype(np.float32)) * (255 / 16)
    large = functional.interpolate(
        grey[:, None], size=(resolution, resolution), mode="bilinear", align_corners=False
    )
    images = large.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    images = images.expand(-1, -1, -1, channels).contiguous()
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    order = np.random.default_rng(TEST_SEED).permutation(len(labels))
    cut = round(TEST_SHARE * len(labels))
    test, train = torch.from_numpy(order[:cut]), torch.from_numpy(order[cut:])
    return InMemoryClassification(
        "digits",
        (images[train], labels[train]),
        (images[test], labels[test]),
        labels=[str(name) for name in bunch.target_names],
        classes=classes,
        seed=seed,
        holdout=holdout,
        padding=padding,
        flip=False,
    )
