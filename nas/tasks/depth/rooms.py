"""Furnished rooms with their exact depth: textures, a lamp, a flash, and a sensor's holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from nas.tasks.depth.frames import Depth, Image, Recording
from nas.tasks.depth.raycast import Array, Box, Camera, Room, Surface, cast, seen

TRAIN, TEST = 1, 2
"""First part of the seed of a room; rooms do not depend on an experiment's seed."""

BASELINE = 0.075
"""Metres between a structured-light sensor's camera and its projector."""

RANGE = (0.45, 8.0)
"""Metres that such a sensor measures."""


@dataclass(frozen=True)
class RenderedRooms:
    """Rooms in memory; every room is a scene with one image."""

    images: np.ndarray
    depths: np.ndarray
    split: str

    @property
    def scenes(self) -> Sequence[str]:
        """One a room."""
        return [f"room {i}" for i in range(len(self))]

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Split and number."""
        return f"{self.split} room {index}"

    def read(self, index: int) -> tuple[Image, Depth]:
        """One room."""
        return self.images[index], self.depths[index]


@lru_cache(maxsize=2)
def rendered_rooms(train: int, test: int, size: tuple[int, int]) -> Recording:
    """So many training and test rooms, the same each time.

    Args:
        train: number of training rooms.
        test: number of test rooms.
        size: rows and columns of the images.
    """
    parts = []
    for split, kind, count in (("train", TRAIN, train), ("test", TEST, test)):
        pairs = [render(kind, i, size) for i in range(count)]
        images, depths = (np.stack(part) for part in zip(*pairs, strict=True))
        parts.append(RenderedRooms(images, depths, split))
    return Recording(parts[0], parts[1])


def render(kind: int, number: int, size: tuple[int, int]) -> tuple[Image, Depth]:
    """Image and depth of one room; depth is 0 where a sensor would have a hole."""
    source = np.random.default_rng([0x5200, kind, number])
    room, boxes, camera, lamp = furnished(source)
    image, depth, holes = picture(room, boxes, camera, lamp, size, source)
    return image, np.where(holes, 0, depth).astype(np.float32)


def picture(
    room: Room,
    boxes: Sequence[Box],
    camera: Camera,
    lamp: Array,
    size: tuple[int, int],
    source: np.random.Generator,
) -> tuple[Image, Array, np.ndarray]:
    """What camera and sensor see of a scene.

    Returns:
        The image (H, W, 3) uint8; the exact depth (H, W), everywhere; and the sensor's holes
        (H, W): out of range, hidden from the projector, glass, glancing rays and stray pixels.
    """
    rows, columns = size
    origin = np.array(camera.position)
    rays = camera.rays(rows, columns)
    hits = cast(room, boxes, origin, rays)
    points = origin + hits.distance[:, None] * rays
    albedo, glass = _colours(room, boxes, hits.thing, points, hits.normal)

    above = points + 1e-4 * hits.normal
    to_lamp = lamp - above
    squared = (to_lamp**2).sum(1)
    cosine = np.clip((hits.normal * to_lamp).sum(1) / np.sqrt(squared), 0, 1)
    lit = seen(boxes, above, lamp) * cosine
    # lamp and flash fall off with distance; the rest is light from everywhere
    facing = np.abs((hits.normal * rays).sum(1)) / np.linalg.norm(rays, axis=1)
    flash = facing / (0.4 + 0.25 * ((points - origin) ** 2).sum(1))
    light = 0.22 + 0.05 * hits.normal[:, 2] + 0.7 * lit / (1 + 0.35 * squared) + flash
    noise = source.normal(0, 0.012, (len(rays), 3))
    linear = np.clip(albedo * light[:, None] + noise, 0, 1)
    image = (255 * linear ** (1 / 1.6)).round().astype(np.uint8).reshape(rows, columns, 3)

    depth = hits.distance
    projector = origin + BASELINE * camera.axes()[1]
    holes = (depth < RANGE[0]) | (depth > RANGE[1]) | glass
    holes |= ~seen(boxes, above, projector)
    holes |= source.random(len(rays)) < 0.6 * np.clip(1 - facing / 0.12, 0, 1)
    holes |= source.random(len(rays)) < 0.004
    return image, depth.reshape(size), holes.reshape(size)


def _colours(
    room: Room, boxes: Sequence[Box], thing: np.ndarray, points: Array, normal: Array
) -> tuple[Array, np.ndarray]:
    """Colours (P, 3) of surface points and whether they are glass (P,)."""
    colours = np.zeros_like(points)
    glass = np.zeros(len(points), dtype=bool)
    for number in np.unique(thing):
        at = thing == number
        if number >= 0:
            box = boxes[number]
            surface, place = box.surface, box.local(points[at])
            flat = np.abs(box.local(normal[at], direction=True)).argmax(1)
        else:
            wall = -1 - int(number)
            surface = (*room.walls, room.floor, room.ceiling)[wall]
            place, flat = points[at], np.full(int(at.sum()), wall // 2)
        glass[at] = surface.glass
        # the two axes of the surface's plane: along it, and up where it stands
        u = np.where(flat == 0, place[:, 1], place[:, 0])
        v = np.where(flat == 2, place[:, 1], place[:, 2])
        share = pattern(surface, u, v)[:, None]
        colours[at] = (1 - share) * np.array(surface.colour) + share * np.array(surface.second)
    return colours, glass


def pattern(surface: Surface, u: Array, v: Array) -> Array:
    """The share (P,) of a surface's second colour at places in metres."""
    a, b = u / surface.size, v / surface.size
    share: Array
    match surface.pattern:
        case "checks":
            share = (np.floor(a) + np.floor(b)) % 2
        case "planks":
            row = np.floor(b)
            board = _hash(np.floor(a / 6 + 0.37 * row), row)
            share = np.maximum(b - row < 0.06, 0.6 * board)
        case "tiles":
            share = np.maximum(a % 1 < 0.05, b % 1 < 0.05).astype(float)
        case "marble":
            share = 0.6 * _smooth(a, b) + 0.4 * _smooth(3 * a, 3 * b)
        case _:
            share = 0.15 * _smooth(4 * a, 4 * b)
    return share


def _hash(a: Array, b: Array) -> Array:
    """A fixed number in 0..1 for every lattice point."""
    value = np.sin(a * 127.1 + b * 311.7) * 43758.5453
    return value - np.floor(value)


def _smooth(a: Array, b: Array) -> Array:
    """Value noise: lattice numbers, interpolated."""
    i, j = np.floor(a), np.floor(b)
    x, y = a - i, b - j
    x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)
    low = (1 - x) * _hash(i, j) + x * _hash(i + 1, j)
    high = (1 - x) * _hash(i, j + 1) + x * _hash(i + 1, j + 1)
    return (1 - y) * low + y * high


# furnishing ---------------------------------------------------------------------------------------


def furnished(source: np.random.Generator) -> tuple[Room, list[Box], Camera, Array]:
    """A room, its furniture, a camera that looks into it and the place of its lamp."""
    width, length, height = source.uniform((2.8, 3.2, 2.4), (5.5, 7.5, 2.9)).tolist()
    floor = _surface(source, ("planks", "tiles", "checks", "marble"), (0.1, 0.4))
    wall = _surface(source, ("plain", "plain", "marble", "tiles"), (0.2, 0.9), bright=0.45)
    other = _surface(source, ("plain", "planks"), (0.2, 0.9), bright=0.35)
    ceiling = Surface((0.85, 0.85, 0.83), (0.75, 0.75, 0.73))
    walls = [wall] * 4
    walls[int(source.integers(4))] = other
    room = Room((width, length, height), floor, ceiling, (walls[0], walls[1], walls[2], walls[3]))
    camera = _camera(room, source)
    lamp = np.array([width, length, height]) * source.uniform((0.3, 0.3, 0.9), (0.7, 0.7, 0.96))
    boxes: list[Box] = []
    for _ in range(int(source.integers(4, 9))):
        make = FURNITURE[int(source.integers(len(FURNITURE)))]
        piece = make(room, source)
        if all(_clear(box, camera) for box in piece):
            boxes += _called(make.__name__[1:], piece)
    boxes += _called("picture", _on_walls(room, source))
    return room, [box for box in boxes if _clear(box, camera)], camera, lamp


def _called(kind: str, boxes: Sequence[Box]) -> list[Box]:
    return [replace(box, kind=kind) for box in boxes]


def _camera(room: Room, source: np.random.Generator) -> Camera:
    """At a person's height near one end, looking along the room and slightly down."""
    width, length, _ = room.size
    x = width * source.uniform(0.25, 0.75)
    y = source.uniform(0.3, min(1.6, 0.35 * length))
    yaw = np.pi / 2 + source.uniform(-0.55, 0.55)
    if source.random() < 0.5:
        y, yaw = length - y, yaw + np.pi
    return Camera(
        (float(x), float(y), float(source.uniform(1.25, 1.65))),
        float(yaw),
        float(source.uniform(0.05, 0.4)),
        float(source.normal(0, 0.02)),
    )


def _clear(box: Box, camera: Camera) -> bool:
    """Whether the camera stands at least 35 cm away from a box."""
    outside = np.abs(box.local(np.array(camera.position))) - np.array(box.half)
    return float(outside.max()) > 0.35


def _surface(
    source: np.random.Generator,
    patterns: Sequence[str],
    sizes: tuple[float, float],
    bright: float = 0.08,
) -> Surface:
    base = source.uniform(bright, 0.9)
    colour = np.clip(base * (1 + source.normal(0, 0.22, 3)), 0.03, 0.97)
    second = np.clip(colour * source.uniform(0.45, 0.8), 0.02, 0.97)
    kind = patterns[int(source.integers(len(patterns)))]
    size = float(source.uniform(*sizes))
    return Surface(tuple(colour.tolist()), tuple(second.tolist()), kind, size)


def _place(
    room: Room, source: np.random.Generator, depth: float, width: float, against: bool
) -> tuple[float, float, float]:
    """Where a piece of this depth and width stands: x, y and yaw, its back to a wall or free."""
    across, along, _ = room.size
    if not against:
        margin = 0.5 * float(np.hypot(depth, width))
        x, y = source.uniform((margin, margin), (across - margin, along - margin)).tolist()
        return x, y, float(source.uniform(0, np.pi))
    wall = int(source.integers(4))
    # the piece's own x axis points from the wall into the room
    yaw = (0.0, np.pi, np.pi / 2, -np.pi / 2)[wall]
    reach = along if wall < 2 else across
    offset = float(source.uniform(width / 2, max(width / 2 + 0.01, reach - width / 2)))
    gap = depth / 2 + 0.02
    x = (gap, across - gap, offset, offset)[wall]
    y = (offset, offset, gap, along - gap)[wall]
    return x, y, yaw


def _parts(
    place: tuple[float, float, float],
    surface: Surface,
    parts: Sequence[tuple[float, float, float, float, float, float]],
) -> list[Box]:
    """Boxes given as (x, y, z from below, depth, width, height) in the piece's own axes."""
    x, y, yaw = place
    c, s = float(np.cos(yaw)), float(np.sin(yaw))
    return [
        Box(
            (x + c * a - s * b, y + s * a + c * b, z + height / 2),
            (depth / 2, width / 2, height / 2),
            surface,
            yaw,
        )
        for a, b, z, depth, width, height in parts
    ]


def _cabinet(room: Room, source: np.random.Generator) -> list[Box]:
    depth, width, height = source.uniform((0.35, 0.5, 0.6), (0.6, 1.6, 2.1)).tolist()
    surface = _surface(source, ("plain", "planks", "marble"), (0.05, 0.3))
    return _parts(
        _place(room, source, depth, width, True), surface, [(0, 0, 0, depth, width, height)]
    )


def _table(room: Room, source: np.random.Generator) -> list[Box]:
    depth, width, height = source.uniform((0.6, 0.8, 0.45), (1.0, 1.7, 0.78)).tolist()
    surface = _surface(source, ("plain", "planks", "marble"), (0.05, 0.2))
    a, b = depth / 2 - 0.06, width / 2 - 0.06
    legs = [(i * a, j * b, 0.0, 0.07, 0.07, height - 0.04) for i in (-1, 1) for j in (-1, 1)]
    place = _place(room, source, depth, width, bool(source.random() < 0.4))
    boxes = _parts(place, surface, [(0, 0, height - 0.04, depth, width, 0.04), *legs])
    if source.random() < 0.6:
        thing = _surface(source, ("plain", "checks"), (0.05, 0.15))
        size = source.uniform(0.1, 0.3)
        boxes += _parts(place, thing, [(0.1 * a, 0.4 * b, height, size, size, size)])
    return boxes


def _sofa(room: Room, source: np.random.Generator) -> list[Box]:
    width = float(source.uniform(1.2, 2.2))
    surface = _surface(source, ("plain", "checks", "marble"), (0.05, 0.25))
    parts = [
        (0.0, 0.0, 0.0, 0.85, width, 0.42),
        (-0.33, 0.0, 0.42, 0.2, width, 0.42),
        (0.0, width / 2 - 0.1, 0.42, 0.85, 0.2, 0.2),
        (0.0, 0.1 - width / 2, 0.42, 0.85, 0.2, 0.2),
    ]
    return _parts(_place(room, source, 0.85, width, True), surface, parts)


def _bed(room: Room, source: np.random.Generator) -> list[Box]:
    width = float(source.uniform(0.9, 1.8))
    surface = _surface(source, ("plain", "checks", "marble"), (0.1, 0.4), bright=0.3)
    parts = [(0.0, 0.0, 0.0, 2.0, width, 0.5), (-0.97, 0.0, 0.5, 0.06, width, 0.5)]
    parts.append((-0.65, 0.0, 0.5, 0.4, 0.7 * width, 0.12))
    return _parts(_place(room, source, 2.0, width, True), surface, parts)


def _shelf(room: Room, source: np.random.Generator) -> list[Box]:
    width, height = source.uniform((0.6, 1.2), (1.4, 2.1)).tolist()
    surface = _surface(source, ("plain", "planks"), (0.05, 0.2))
    place = _place(room, source, 0.32, width, True)
    boards = int(source.integers(3, 6))
    parts = [(0.0, 0.0, i * (height - 0.03) / boards, 0.32, width, 0.03) for i in range(boards + 1)]
    parts += [(0.0, i * (width / 2 - 0.015), 0.0, 0.32, 0.03, height) for i in (-1, 1)]
    boxes = _parts(place, surface, parts)
    for i in range(boards):
        books = _surface(source, ("planks", "checks"), (0.03, 0.08))
        long = float(source.uniform(0.2, 0.85)) * width
        tall = 0.7 * height / boards
        boxes += _parts(place, books, [(-0.03, 0.0, i * height / boards + 0.03, 0.22, long, tall)])
    return boxes


def _chair(room: Room, source: np.random.Generator) -> list[Box]:
    surface = _surface(source, ("plain", "planks"), (0.05, 0.2))
    legs = [(i * 0.18, j * 0.18, 0.0, 0.05, 0.05, 0.42) for i in (-1, 1) for j in (-1, 1)]
    parts = [(0.0, 0.0, 0.42, 0.44, 0.44, 0.05), (-0.2, 0.0, 0.47, 0.04, 0.44, 0.42), *legs]
    return _parts(_place(room, source, 0.5, 0.5, False), surface, parts)


FURNITURE = (_cabinet, _cabinet, _table, _sofa, _bed, _shelf, _chair, _chair)


def _on_walls(room: Room, source: np.random.Generator) -> list[Box]:
    """Pictures, and windows that are glass to a sensor."""
    boxes = []
    for _ in range(int(source.integers(1, 4))):
        width, height = source.uniform((0.4, 0.4), (1.4, 1.1)).tolist()
        surface = _surface(source, ("checks", "marble", "plain"), (0.1, 0.3))
        if source.random() < 0.3:
            surface = Surface((0.85, 0.9, 0.97), (0.7, 0.8, 0.95), "marble", 1.5, glass=True)
        place = _place(room, source, 0.03, width, True)
        bottom = float(source.uniform(0.9, 1.3))
        boxes += _parts(place, surface, [(0, 0, bottom, 0.03, width, height)])
    return boxes
