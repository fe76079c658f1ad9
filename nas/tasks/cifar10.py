"""CIFAR-10 (Krizhevsky, 2009) from a file of JPEG images or from the official binary version."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.tasks.in_memory import InMemoryClassification
from search_spaces import UserError

JPEG_FILE = "cifar10_jpeg.npz"
RECORD = 1 + 3 * 32 * 32
LABELS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def cifar10(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    padding: int = 4,
    flip: bool = True,
    train_limit: int | None = None,
    test_limit: int | None = None,
) -> InMemoryClassification:
    """CIFAR-10, with random shifts and mirroring in training.

    Args:
        data: ``cifar10_jpeg.npz``, or a folder that holds it or ``data_batch_1.bin`` and the other
            files of the official binary version.
        resolution: 32.
        channels: 3.
        classes: outputs of the search space.
        seed: fixes hold-out, order and augmentation.
        holdout: share or number of training images.
        padding: random shifts by up to this many pixels.
        flip: mirror half of the images.
        train_limit: only so many training images, the same share of every class.
        test_limit: only so many test images.

    Raises:
        UserError: data missing, broken or empty, or another input than 32 px and 3 channels.
    """
    if (resolution, channels) != (32, 3):
        raise UserError(
            f"task cifar10 has 32 px and 3 channels, the space asks for {resolution} px and "
            f"{channels}; set space.settings.resolution and channels"
        )
    if data is None:
        raise UserError("task cifar10 needs its data: --data PATH or task.data (docs: README)")
    path = data / JPEG_FILE if (data / JPEG_FILE).is_file() else data
    if not path.exists():
        raise UserError(f"{data}: no such file or folder; give CIFAR-10 with --data PATH")
    if path.is_dir():
        names = [f"data_batch_{i}.bin" for i in range(1, 6)]
        train, test = _binary(path, names), _binary(path, ["test_batch.bin"])
        labels: tuple[str, ...] = LABELS
    else:
        train, test, labels = _jpeg(path)
    return InMemoryClassification(
        "cifar10",
        _limited(train, train_limit),
        _limited(test, test_limit),
        labels=labels,
        classes=classes,
        seed=seed,
        holdout=holdout,
        padding=padding,
        flip=flip,
    )


Data = tuple[Tensor, Tensor]


def _limited(data: Data, limit: int | None) -> Data:
    """Evenly spread images of a file that is sorted by class."""
    images, labels = data
    if limit is None or limit >= len(labels):
        return data
    order = torch.argsort(labels, stable=True)
    index = order[torch.linspace(0, len(labels) - 1, limit).round().long()]
    return images[index], labels[index]


def _binary(folder: Path, names: list[str]) -> Data:
    parts = []
    for name in names:
        path = folder / name
        if not path.is_file():
            raise UserError(f"{folder}: neither {JPEG_FILE} nor {name}; is this CIFAR-10?")
        raw = np.fromfile(path, dtype=np.uint8)
        if not len(raw) or len(raw) % RECORD:
            raise UserError(f"{path}: {len(raw)} bytes are no whole number of images; truncated?")
        parts.append(raw.reshape(-1, RECORD))
    records = np.concatenate(parts)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    return torch.from_numpy(np.ascontiguousarray(images)), labels


def _jpeg(path: Path) -> tuple[Data, Data, tuple[str, ...]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            labels = tuple(str(name) for name in file["classes"])
            train, test = (
                _decoded(file[f"{s}_jpeg"], file[f"{s}_offsets"], file[f"{s}_labels"])
                for s in ("train", "test")
            )
    except (OSError, KeyError, ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"{path}: not a CIFAR-10 file of JPEG images ({error})") from None
    except Exception as error:  # zipfile.BadZipFile and zlib.error share no base
        raise UserError(f"{path}: broken or truncated ({error})") from None
    return train, test, labels


def _decoded(stream: np.ndarray, offsets: np.ndarray, labels: np.ndarray) -> Data:
    from PIL import Image

    if not len(labels) or len(offsets) != len(labels) + 1 or offsets[-1] != len(stream):
        raise ValueError("the offsets do not fit the images")
    images = np.empty((len(labels), 32, 32, 3), dtype=np.uint8)
    data = stream.tobytes()
    for i in range(len(labels)):
        with Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]])) as image:
            images[i] = np.asarray(image.convert("RGB"))
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
