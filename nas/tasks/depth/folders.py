"""Recordings of one's own: RGB images beside 16-bit PNG depth, in folders or by a manifest."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.tasks.depth.frames import BrokenFrame, Depth, Image, Recording, checked
from search_spaces import UserError
from search_spaces.errors import in_a_line

IMAGES = ("rgb", "color", "image", "images")
DEPTHS = ("depth", "depths")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp")
TEST = ("val", "test", "validation")


@dataclass(frozen=True)
class ImageFiles:
    """Pairs of files; metres are the depth image's values divided by ``scale``."""

    pairs: Sequence[tuple[Path, Path]]
    scenes: Sequence[str]
    scale: float

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        """The path of the depth image."""
        return str(self.pairs[index][1])

    def read(self, index: int) -> tuple[Image, Depth]:
        """One pair."""
        from PIL import Image as Pillow

        image_file, depth_file = self.pairs[index]
        try:
            with Pillow.open(image_file) as image:
                pixels = np.asarray(image.convert("RGB"))
            with Pillow.open(depth_file) as depth:
                if not depth.mode.startswith("I"):
                    raise BrokenFrame(f"its depth is an image of mode {depth.mode}, not 16 bits")
                values = np.asarray(depth).astype(np.float32)
        except (OSError, ValueError, SyntaxError) as error:
            raise BrokenFrame(in_a_line(error, 120)) from None
        return checked(pixels, values / np.float32(self.scale))


def open_folder(data: Path, scale: float) -> Recording:
    """Recordings at a path.

    Args:
        data: a folder in which ``rgb/NAME.jpg`` and ``depth/NAME.png`` lie beside each other,
            once or per scene, below ``train`` and ``val`` or without them; or a manifest, whose
            lines are ``image,depth`` or ``image,depth,scene``; or a folder with the manifests
            ``train.csv`` and ``val.csv``. Paths in a manifest are relative to it.
        scale: what the depth image's values are divided by to give metres; 1000 for millimetres.

    Raises:
        UserError: nothing there, an image without depth, or a scale that is not positive.
    """
    if not scale > 0:
        raise UserError(f"task.settings.scale = {scale}: values per metre must be above 0")
    if data.is_file():
        return Recording(_manifest(data, scale), None)
    if not data.is_dir():
        raise UserError(f"{data}: no such file or folder; give the recordings with --data PATH")
    manifests = [data / f"{split}.csv" for split in ("train", *TEST)]
    found = [path for path in manifests if path.is_file()]
    if found:
        if found[0].stem != "train":
            raise UserError(f"{data}: has {found[0].name}, but no train.csv")
        test = _manifest(found[1], scale) if found[1:] else None
        return Recording(_manifest(found[0], scale), test)
    train = data / "train"
    if not train.is_dir():
        return Recording(_folder(data, scale), None)
    test_folder = next((data / name for name in TEST if (data / name).is_dir()), None)
    return Recording(
        _folder(train, scale), None if test_folder is None else _folder(test_folder, scale)
    )


def _folder(root: Path, scale: float) -> ImageFiles:
    pairs, scenes = [], []
    for images in sorted(p for p in root.rglob("*") if p.is_dir() and p.name in IMAGES):
        depths = next((images.parent / n for n in DEPTHS if (images.parent / n).is_dir()), None)
        if depths is None:
            raise UserError(f"{images}: no folder depth beside it")
        scene = images.parent.relative_to(root).as_posix()
        for file in sorted(f for f in images.iterdir() if f.suffix.lower() in ENDINGS):
            depth = depths / f"{file.stem}.png"
            if not depth.is_file():
                raise UserError(f"{file}: its depth {depth} is missing")
            pairs.append((file, depth))
            scenes.append("" if scene == "." else scene)
    if not pairs:
        raise UserError(f"{root}: no images rgb/NAME.jpg with depth/NAME.png in here")
    return ImageFiles(pairs, scenes, scale)


def _manifest(path: Path, scale: float) -> ImageFiles:
    try:
        rows = list(csv.reader(_lines(path.read_text())))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot read this manifest ({error})") from None
    pairs, scenes = [], []
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if len(cells) not in (2, 3) or not all(cells[:2]):
            raise UserError(f"{path}: entry {number} is not image,depth or image,depth,scene")
        if number == 1 and not any("." in cell for cell in cells[:2]):
            continue  # a heading
        pair = path.parent / cells[0], path.parent / cells[1]
        for file in pair:
            if not file.is_file():
                raise UserError(f"{path}: entry {number}: {file} is missing")
        pairs.append(pair)
        scenes.append(cells[2] if len(cells) == 3 else "")
    if not pairs:
        raise UserError(f"{path}: names no images")
    return ImageFiles(pairs, scenes, scale)


def _lines(text: str) -> Iterable[str]:
    return (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
