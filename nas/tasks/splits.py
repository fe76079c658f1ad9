"""Cutting the hold-out from the training images."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from search_spaces import UserError

Indices = npt.NDArray[np.int64]

TEST_SEED = 20_000
"""Where test images are cut from the rest, they are the same for every experiment's seed."""


def stratified_holdout(
    labels: npt.ArrayLike, holdout: float, seed: int, *, task: str
) -> tuple[Indices, Indices]:
    """Cut a hold-out with every class in the share it has: (training, hold-out) indices, sorted.

    Args:
        labels: class of every training image; shape (images,).
        holdout: a share below 1, or a number of images.
        seed: fixes which images.
        task: named in errors.

    Raises:
        UserError: no images, or nothing would be left on one side.
    """
    labels = np.asarray(labels, dtype=np.int64)
    count = round(holdout * len(labels)) if holdout < 1 else int(holdout)
    if not 0 < count < len(labels):
        raise UserError(
            f"task {task}: a hold-out of {count} out of {len(labels)} training images leaves "
            "nothing on one side; change task.holdout"
        )
    order = np.random.default_rng([seed, 0x401D]).permutation(len(labels))
    # rank of each image inside its class, as a fraction: the smallest ranks are the hold-out
    by_class = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sorted_labels = labels[by_class]
    rank = (np.arange(len(labels)) - starts[sorted_labels] + 0.5) / sizes[sorted_labels]
    by_rank = by_class[np.argsort(rank, kind="stable")]
    chosen = np.sort(by_rank[:count])
    rest = np.sort(by_rank[count:])
    return rest.astype(np.int64), chosen.astype(np.int64)


def grouped_holdout(
    groups: Sequence[Hashable], holdout: float, seed: int, *, task: str
) -> tuple[Indices, Indices]:
    """Cut a hold-out of whole groups: (training, hold-out) indices, sorted.

    Args:
        groups: scene, person, … of every training image.
        holdout: a share below 1, or a number of images; met as closely as whole groups allow.
        seed: fixes which groups.
        task: named in errors.

    Raises:
        UserError: no images, or nothing would be left on one side.
    """
    count = len(groups)
    wanted = round(holdout * count) if holdout < 1 else int(holdout)
    numbers: dict[Hashable, int] = {}
    number = np.array([numbers.setdefault(g, len(numbers)) for g in groups], dtype=np.int64)
    taken = np.isin(number, _chosen(number, wanted, seed)) if 0 < wanted < count else number < 0
    if taken.all() or not taken.any():
        raise UserError(
            f"task {task}: a hold-out of {wanted} out of {count} images in {len(numbers)} groups "
            "leaves nothing on one side; change task.holdout"
        )
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _chosen(groups: Indices, wanted: int, seed: int) -> list[int]:
    """Groups in random order, the first and each that comes closer to the wanted number."""
    sizes = np.bincount(groups)
    chosen: list[int] = []
    total = 0
    for group in np.random.default_rng([seed, 0x5CE7E]).permutation(len(sizes)).tolist():
        if not chosen or abs(total + sizes[group] - wanted) < abs(total - wanted):
            chosen.append(group)
            total += int(sizes[group])
    return chosen


def even_batches(indices: Indices, size: int) -> list[Indices]:
    """Indices in order, in as few parts of at most ``size`` as hold them, equal up to one."""
    return np.array_split(indices, max(1, -(-len(indices) // size)))


def indices_hash(indices: npt.ArrayLike) -> str:
    """A short hash that identifies a set of image indices."""
    data = np.sort(np.asarray(indices, dtype=np.int64)).astype("<i8").tobytes()
    return hashlib.sha256(data).hexdigest()[:16]
