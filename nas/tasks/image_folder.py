"""Classification of images on disk, through timm's data sets and augmentation.

Folders, tar files and Hugging Face data sets, as timm names them. Every image is augmented with
random numbers of its own, a function of (seed, epoch, position), so neither the number of worker
processes nor an interruption changes what is trained on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import nas.vision  # noqa: F401  before timm
from nas.tasks.base import CALIBRATION_BATCH, Batch, check_classes
from nas.tasks.classification import Classification, normalised, normaliser
from nas.tasks.image_files import Images, Reading, datasets, joined, labels_of, targets_of
from nas.tasks.in_memory import TensorSplit
from nas.tasks.splits import TEST_SEED, even_batches, indices_hash, stratified_holdout
from search_spaces import UserError
from supernet.share import WHOLE, Share

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD  # isort: skip
from timm.data.mixup import Mixup  # isort: skip
from timm.data.transforms_factory import create_transform  # isort: skip


def image_folder(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    source: str = "",
    train_split: str = "train",
    test_split: str = "validation",
    test_share: float = 0.2,
    workers: int = 4,
    min_scale: float = 0.08,
    flip: float = 0.5,
    color_jitter: float = 0.4,
    auto_augment: str | None = None,
    erase: float = 0.0,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    crop_share: float = 0.875,
    interpolation: str = "bicubic",
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    corrupt_limit: int = 100,
) -> ImageFolder:
    """Images below ``data``, augmented by timm in training.

    Args:
        data: a folder with ``train`` and ``val`` (or their usual other names), each with one
            folder a class; or a folder of class folders alone, from which the test images are
            cut; or the root of another source.
        resolution: height and width in pixels, after cropping.
        channels: 3.
        classes: outputs of the search space.
        seed: fixes hold-out, order and augmentation.
        holdout: share or number of training images.
        source: a prefix of timm's ``create_dataset`` (``hfds/NAME``); empty for folders and tars.
        train_split: name of the training split.
        test_split: name of the split that scores final results.
        test_share: of the images, where there is no test split.
        workers: processes that read and augment; 0 for none.
        min_scale: the smallest share of an image's area that a random crop may have.
        flip: probability of mirroring.
        color_jitter: strength.
        auto_augment: timm's policy text (``rand-m9-mstd0.5``).
        erase: probability of random erasing.
        mixup: alpha of mixup (Zhang et al., 2018); 0 off.
        cutmix: alpha of CutMix (Yun et al., 2019); 0 off.
        crop_share: of the shorter side in evaluation.
        interpolation: of resizing.
        mean: of the three channels, 0 to 1; what pretrained weights were trained with.
        std: likewise.
        corrupt_limit: images that cannot be decoded are skipped and named; more end the run.

    Raises:
        UserError: data missing or empty, or classes that differ from the space's outputs.
    """
    if data is None and not source:
        raise UserError("task image_folder needs a folder of images: --data PATH or task.data")
    if channels != 3:
        raise UserError(f"task image_folder has 3 channels, the space asks for {channels}")
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise UserError(f"task image_folder: mean = {mean}, std = {std}: three numbers each")
    train, test = datasets(source, data, train_split, test_split)
    labels = labels_of(train)
    check_classes("image_folder", len(labels), classes)
    if test is not None and labels_of(test) != labels:
        raise UserError(f"{data}: training and test images have different classes")
    indices, tested = _split_test(train, test, test_share)
    common: dict[str, Any] = {
        "input_size": (3, resolution, resolution),
        "interpolation": interpolation,
        "use_prefetcher": True,  # uint8 out; normalised batch by batch
    }
    augment = create_transform(
        is_training=True,
        scale=(min_scale, 1.0),
        hflip=flip,
        color_jitter=color_jitter,
        auto_augment=auto_augment,
        **common,
    )
    plain = create_transform(is_training=False, crop_pct=crop_share, **common)
    targets = targets_of(train)[indices]
    rest, chosen = stratified_holdout(targets, holdout, seed, task="image_folder")
    mixing = None
    if mixup or cutmix:
        mixing = Mixup(  # type: ignore[no-untyped-call]
            mixup_alpha=mixup, cutmix_alpha=cutmix, label_smoothing=0.0, num_classes=classes
        )
    return ImageFolder(
        train=Images(train, indices[rest]),
        held_out=Images(train, indices[chosen]),
        tested=tested,
        augment=augment,
        plain=plain,
        labels=labels,
        resolution=resolution,
        seed=seed,
        workers=workers,
        mixing=mixing,
        erase=erase,
        corrupt_limit=corrupt_limit,
        mean=tuple(mean),
        std=tuple(std),
    )


def _split_test(train: Any, test: Any | None, share: float) -> tuple[np.ndarray, Images]:
    """Positions that are left to training and hold-out, and the test images.

    Where the source has no test split, ``share`` of its images are cut out for it.
    """
    targets = targets_of(train)
    if test is not None:
        return np.arange(len(targets)), Images(test, np.arange(len(targets_of(test))))
    rest, cut = stratified_holdout(targets, share, TEST_SEED, task="image_folder (test)")
    return rest, Images(train, cut)


@dataclass
class StreamedSplit:
    """Images that are read from disk whenever they are asked for."""

    name: str
    task: ImageFolder
    images: Images

    def __len__(self) -> int:
        return len(self.images.indices)

    def batches(self, size: int) -> Iterator[Batch]:
        """Every image that can be read, in order."""
        for pixels, targets in self.task.read(self.images, size):
            yield self.task.normalise(pixels), targets


@dataclass
class ImageFolder(Classification):
    """The task over timm data sets; the hold-out is decoded once and kept as uint8."""

    train: Images
    held_out: Images
    tested: Images
    augment: Any
    plain: Any
    labels: Sequence[str]
    resolution: int
    seed: int
    workers: int
    mixing: Any
    erase: float
    corrupt_limit: int
    name: str = "image_folder"
    input_channels: int = 3
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN
    std: Sequence[float] = IMAGENET_DEFAULT_STD
    broken: set[str] = field(default_factory=set)
    """Files that could not be read so far."""

    def __post_init__(self) -> None:
        from timm.data.random_erasing import RandomErasing

        self.classes = len(self.labels)
        self.train_images = len(self.train.indices)
        self._scale, self._shift = normaliser(torch.tensor(self.mean), torch.tensor(self.std))
        self._erasing = RandomErasing(  # type: ignore[no-untyped-call]
            self.erase, mode="pixel", device="cpu"
        )
        self._holdout: TensorSplit | None = None
        self._calibration: dict[tuple[int, int], list[Tensor]] = {}
        self.test = StreamedSplit("test", self, self.tested)

    @property
    def holdout(self) -> TensorSplit:
        """The hold-out, decoded at its first use."""
        if self._holdout is None:
            parts = list(self.read(self.held_out, 64))
            images = torch.cat([p for p, _ in parts]).permute(0, 2, 3, 1).contiguous()
            targets = torch.cat([t for _, t in parts])
            self._holdout = TensorSplit("holdout", images, targets, self._scale, self._shift)
        return self._holdout

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (N, C, H, W) as normalised float32 in channels-last memory."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return normalised(pixels, self._scale, self._shift)

    def read(self, images: Images, size: int) -> Iterator[Batch]:
        """uint8 images and classes without augmentation, in order; broken ones left out."""
        chunks = even_batches(np.arange(len(images.indices)), size)
        batches = [[(i, 0) for i in chunk.tolist()] for chunk in chunks]
        for pixels, targets, broken in self._loader(images, self.plain, batches, replace=False):
            self._count(broken)
            if len(targets):
                yield pixels, targets

    def train_batches(
        self, epoch: int, batch_size: int, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Shuffled, augmented batches; a function of (seed, epoch, step).

        Only the images of the part that is asked for are read. Erasing and mixing are drawn
        within a part: mixup blends images of one rank.
        """
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(self.train_images)
        seeds = generator.integers(2**31, size=self.train_images)
        steps = range(start, self.train_images // batch_size)
        batches = [
            share.of(list(zip(order[chunk].tolist(), seeds[chunk].tolist(), strict=True)))
            for chunk in (slice(s * batch_size, (s + 1) * batch_size) for s in steps)
        ]
        loader = self._loader(self.train, self.augment, batches, replace=True)
        for step, (pixels, targets, broken) in zip(steps, loader, strict=True):
            self._count(broken)
            images = self.normalise(pixels)
            if self.erase or self.mixing is not None:
                key = [self.seed, epoch, step, share.index]
                seed = int(np.random.default_rng(key).integers(2**31))
                random.seed(seed)
                np.random.seed(seed)
                torch.manual_seed(seed)
                images = self._erasing(images)
                if self.mixing is not None:
                    images, targets = self.mixing(images, targets)
            yield images, targets

    def _loader(
        self, images: Images, transform: Any, batches: list[Any], *, replace: bool
    ) -> Iterator[Any]:
        return iter(
            DataLoader(
                Reading(images, transform, replace),
                batch_sampler=batches,
                num_workers=min(self.workers, len(batches)),
                collate_fn=joined,
            )
        )

    def _count(self, broken: Sequence[str]) -> None:
        import logging

        for name in broken:
            if name not in self.broken:
                self.broken.add(name)
                logging.getLogger("nas").warning("skipped an image: %s", name)
        if len(self.broken) > self.corrupt_limit:
            raise UserError(
                f"{len(self.broken)} images cannot be read, the last {sorted(self.broken)[-1]}; "
                "repair the data or raise task.settings.corrupt_limit"
            )

    def skipped(self) -> Sequence[str]:
        """The files that could not be read so far."""
        return sorted(self.broken)

    def calibration(self, images: int, batch_size: int = CALIBRATION_BATCH) -> list[Tensor]:
        """The first ``images`` of a fixed shuffle of the training images, in even batches."""
        key = (images, batch_size)
        if key not in self._calibration:
            order = np.random.default_rng([self.seed, 0xCA1]).permutation(self.train_images)
            chosen = Images(self.train.dataset, self.train.indices[order[:images]])
            self._calibration[key] = [self.normalise(p) for p, _ in self.read(chosen, batch_size)]
        return self._calibration[key]

    def describe(self) -> dict[str, Any]:
        """Counts of images and the hash of the hold-out's indices."""
        return {
            "task": self.name,
            "train_images": self.train_images,
            "holdout_images": len(self.held_out.indices),
            "test_images": len(self.tested.indices),
            "holdout_hash": indices_hash(self.held_out.indices),
        }
