"""Images of timm's data sets: where they lie, their classes, and one image read and transformed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

import nas.vision  # noqa: F401  before timm
from search_spaces import UserError

from timm.data.dataset_factory import create_dataset  # isort: skip


TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("val", "valid", "validation", "eval", "evaluation", "test")


def datasets(
    source: str, data: Path | None, train_split: str, test_split: str
) -> tuple[Any, Any | None]:
    """Training and test data sets of timm; test None where one folder holds everything."""
    if source:
        root = None if data is None else str(data)
        return _create(source, root, train_split), _create(source, root, test_split)
    assert data is not None
    if not data.exists():
        raise UserError(f"{data}: no such folder; give the images with --data PATH")
    train = next((data / n for n in (train_split, *TRAIN_FOLDERS) if (data / n).exists()), None)
    test = next((data / n for n in (test_split, *TEST_FOLDERS) if (data / n).exists()), None)
    if train is None:
        return _create("", str(data), train_split), None
    if test is None:
        raise UserError(f"{data}: has {train.name}, but no folder with test images (val)")
    return _create("", str(train), train_split), _create("", str(test), test_split)


def _create(source: str, root: str | None, split: str) -> Any:
    try:
        found = create_dataset(source, root=root, split=split, search_split=False)
    except Exception as error:  # each of timm's readers raises its own
        raise UserError(f"{source or root}: {' '.join(str(error).split())}") from None
    if not hasattr(found, "reader") or not hasattr(type(found), "__getitem__"):
        raise UserError(f"{source}: a stream has no fixed order; use an indexed source")
    return found


def targets_of(dataset: Any) -> np.ndarray:
    """Class of every image of a timm data set, without decoding any."""
    reader = dataset.reader
    if hasattr(reader, "targets"):
        return np.array(reader.targets, dtype=np.int64)
    if hasattr(reader, "samples"):
        return np.array([sample[-1] for sample in reader.samples], dtype=np.int64)
    return np.array(reader.dataset[reader.label_key], dtype=np.int64)


def labels_of(dataset: Any) -> list[str]:
    """Names of the classes of a timm data set, in their order."""
    reader = dataset.reader
    mapping = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None)
    if mapping:
        return sorted(mapping, key=mapping.__getitem__)
    return [str(i) for i in range(int(targets_of(dataset).max()) + 1)]


@dataclass(frozen=True)
class Images:
    """Some images of a timm data set."""

    dataset: Any
    indices: np.ndarray


Item = tuple[np.ndarray | None, int, str]
"""Pixels (C, H, W) uint8, class, and the name of a file that could not be read."""


@dataclass
class Reading(Dataset[Item]):
    """Reads and transforms images; item (n, seed) is the n-th image with its own random numbers."""

    images: Images
    transform: Any
    replace: bool
    """Take the next image in place of one that cannot be read, so that batches stay full."""

    def __getitem__(self, item: Any) -> Item:
        position, seed = item
        broken = ""
        for attempt in range(len(self.images.indices) if self.replace else 1):
            index = int(self.images.indices[(position + attempt) % len(self.images.indices)])
            try:
                return *self._read(index, seed), broken
            except Exception as error:  # a decoder raises whatever it likes
                name = str(self.images.dataset.reader.filename(index))
                broken = f"{name} ({' '.join(str(error).split())[:80]})"
        return None, -1, broken

    def _read(self, index: int, seed: int) -> tuple[np.ndarray, int]:
        from PIL import Image

        image, target = self.images.dataset.reader[index][:2]
        if not isinstance(image, Image.Image):
            image = Image.open(image)
        image = image.convert("RGB")
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        return np.asarray(self.transform(image)), int(target)


def joined(items: Sequence[Item]) -> tuple[Tensor, Tensor, list[str]]:
    """One batch: uint8 (N, C, H, W), classes (N), and the files that could not be read."""
    whole = [(pixels, target) for pixels, target, _ in items if pixels is not None]
    broken = [name for _, _, name in items if name]
    if not whole:
        return torch.empty(0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), broken
    pixels = torch.from_numpy(np.stack([p for p, _ in whole]))
    return pixels, torch.tensor([t for _, t in whole]), broken
