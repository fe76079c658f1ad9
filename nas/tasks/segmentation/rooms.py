"""The rendered rooms of the depth task with what every pixel shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nas.tasks.depth.raycast import Box, cast
from nas.tasks.depth.rooms import TEST, TRAIN, furnished, picture
from nas.tasks.segmentation.images import Image, Labels

LABELS = ("wall", "floor", "ceiling", "furniture", "picture")

FLOOR, CEILING = -5, -6
"""Things of the ray-caster."""


@dataclass(frozen=True)
class LabelledRooms:
    """Rooms in memory."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> tuple[Image, Labels]:
        """One room."""
        return self.images[index], self.labels[index]


@lru_cache(maxsize=2)
def labelled_rooms(
    train: int, test: int, size: tuple[int, int]
) -> tuple[LabelledRooms, LabelledRooms]:
    """So many training and test rooms, those of the depth task, the same each time.

    Args:
        train: number of training rooms.
        test: number of test rooms.
        size: rows and columns of the images.
    """
    parts = []
    for kind, count in ((TRAIN, train), (TEST, test)):
        images, labels = zip(*(render(kind, i, size) for i in range(count)), strict=True)
        parts.append(LabelledRooms(np.stack(images), np.stack(labels)))
    return parts[0], parts[1]


def render(kind: int, number: int, size: tuple[int, int]) -> tuple[Image, Labels]:
    """Image and classes of one room."""
    source = np.random.default_rng([0x5200, kind, number])
    room, boxes, camera, lamp = furnished(source)
    image, _, _ = picture(room, boxes, camera, lamp, size, source)
    thing = cast(room, boxes, np.array(camera.position), camera.rays(*size)).thing
    return image, classes_of(thing, boxes).reshape(size)


def classes_of(thing: np.ndarray, boxes: list[Box]) -> Labels:
    """The class of what each ray meets."""
    kinds = ["picture" if box.kind == "picture" else "furniture" for box in boxes]
    of_box = np.array([LABELS.index(kind) for kind in kinds], dtype=np.uint8)
    labels = np.full(thing.shape, LABELS.index("wall"), dtype=np.uint8)
    labels[thing == FLOOR] = LABELS.index("floor")
    labels[thing == CEILING] = LABELS.index("ceiling")
    labels[thing >= 0] = of_box[thing[thing >= 0]]
    return labels
