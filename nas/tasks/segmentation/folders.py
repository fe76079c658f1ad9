"""Images and label maps of one's own, beside each other in folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.tasks.segmentation.images import Image, Labels
from nas.tasks.segmentation.metrics import IGNORED
from search_spaces import UserError
from search_spaces.errors import in_a_line

IMAGES = ("images", "image", "rgb", "JPEGImages")
LABELS = ("labels", "masks", "annotations", "SegmentationClass")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp")
TRAIN = ("train", "training")
TEST = ("val", "valid", "validation", "test")
NAMES = "labels.txt"


@dataclass(frozen=True)
class Meaning:
    """What the values of a label map mean.

    ``first`` is the value of the first of ``classes`` classes; ``ignored`` are those of pixels
    that count nowhere.
    """

    classes: int
    first: int
    ignored: Sequence[int]

    def read(self, values: np.ndarray, where: Path) -> Labels:
        """Classes from 0, `IGNORED` where unknown.

        Raises:
            UserError: a value that is neither a class nor ignored.
        """
        ignored = np.isin(values, list(self.ignored))
        last = self.first + self.classes - 1
        known = (values >= self.first) & (values <= last)
        strange = ~known & ~ignored
        if strange.any():
            value = int(values[strange][0])
            count = int((values == value).sum())
            raise UserError(
                f"{where}: label {value} in {count} pixels; known are {self.first} to {last}, "
                f"ignored {', '.join(map(str, self.ignored)) or 'none'} "
                "(task.settings.first and ignore)"
            )
        return np.where(ignored, IGNORED, values.astype(np.int64) - self.first).astype(np.uint8)


@dataclass(frozen=True)
class ImageFiles:
    """Pairs of files."""

    files: Sequence[tuple[Path, Path]]
    meaning: Meaning

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> tuple[Image, Labels]:
        """One pair."""
        from PIL import Image as Pillow

        image_file, label_file = self.files[index]
        at = image_file
        try:
            with Pillow.open(image_file) as image:
                pixels = np.asarray(image.convert("RGB"))
            at = label_file
            with Pillow.open(label_file) as labels:
                mode, values = labels.mode, np.asarray(labels)
        except (OSError, ValueError, SyntaxError) as error:
            said = in_a_line(error, 120)
            raise UserError(f"{at}: not a readable image ({said})") from None
        if mode not in ("L", "P", "1", "I", "I;16"):
            raise UserError(
                f"{label_file}: an image of mode {mode}; a label map has one number a pixel "
                "(grey or palette)"
            )
        if values.shape != pixels.shape[:2]:
            size, own = ("×".join(map(str, s)) for s in (pixels.shape[:2], values.shape))
            raise UserError(f"{label_file}: {own} pixels, its image {size}")
        return pixels, self.meaning.read(values, label_file)


def open_folder(data: Path, meaning: Meaning) -> tuple[ImageFiles, ImageFiles | None]:
    """Training and test pairs below a folder; test None where one folder holds everything.

    Args:
        data: ``images/NAME.jpg`` beside ``labels/NAME.png``, below ``train`` and ``val`` or
            without them; folders may be nested below ``images`` and ``labels`` alike.
        meaning: of the label maps' values.

    Raises:
        UserError: nothing there, or an image without a label map.
    """
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; give images and label maps with --data PATH")
    train = next((data / name for name in TRAIN if (data / name).is_dir()), None)
    if train is None:
        return _pairs(data, meaning), None
    test = next((data / name for name in TEST if (data / name).is_dir()), None)
    return _pairs(train, meaning), None if test is None else _pairs(test, meaning)


def _pairs(root: Path, meaning: Meaning) -> ImageFiles:
    folders = [
        next((root / n for n in names if (root / n).is_dir()), None) for names in (IMAGES, LABELS)
    ]
    images, labels = folders
    if images is None or labels is None:
        missing = "images" if images is None else "labels"
        raise UserError(f"{root}: no folder {missing} in here (images/NAME.jpg, labels/NAME.png)")
    found = []
    for file in sorted(f for f in images.rglob("*") if f.suffix.lower() in ENDINGS):
        beside = labels / file.relative_to(images).with_suffix(".png")
        if not beside.is_file():
            raise UserError(f"{file}: its label map {beside} is missing")
        found.append((file, beside))
    if not found:
        raise UserError(f"{images}: no images in here")
    return ImageFiles(found, meaning)


def label_names(data: Path, classes: int, given: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes: as given, from ``labels.txt`` (one a line), or their numbers.

    Raises:
        UserError: other than ``classes`` names.
    """
    file = data / NAMES
    names, where = tuple(given), "task.settings.labels"
    if not names and file.is_file():
        names = tuple(line.strip() for line in file.read_text().splitlines() if line.strip())
        where = str(file)
    names = names or tuple(str(i) for i in range(classes))
    if len(names) != classes:
        raise UserError(
            f"{where}: {len(names)} classes, the search space {classes} outputs; "
            f"use --set space.settings.classes={len(names)}"
        )
    return names
