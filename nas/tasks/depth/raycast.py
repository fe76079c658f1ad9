"""An exact ray-caster of boxes: for every pixel the nearest surface, with no approximation.

A scene is a room (a box seen from inside) and boxes in it, turned about the vertical. Lengths are
metres, x and y horizontal, z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """How a box looks: two colours (0..1) in a pattern of a size in metres.

    ``pattern`` is plain, checks, planks, tiles or marble; ``glass`` gives a sensor no answer.
    """

    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: str = "plain"
    size: float = 0.3
    glass: bool = False


@dataclass(frozen=True)
class Box:
    """A box standing upright: centre and half sizes (x, y, z), turned by ``yaw`` radians.

    ``kind`` says what it is a part of.
    """

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    surface: Surface
    yaw: float = 0.0
    kind: str = ""

    def local(self, points: Array, *, direction: bool = False) -> Array:
        """Points or directions (..., 3) in the box's own axes."""
        shifted = points if direction else points - np.array(self.centre)
        x, y, z = shifted[..., 0], shifted[..., 1], shifted[..., 2]
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turned = np.empty((3, *x.shape))
        turned[0], turned[1], turned[2] = c * x + s * y, c * y - s * x, z
        return np.moveaxis(turned, 0, -1)


@dataclass(frozen=True)
class Room:
    """From the origin to ``size``; ``walls`` are those at low x, high x, low y and high y."""

    size: tuple[float, float, float]
    floor: Surface
    ceiling: Surface
    walls: tuple[Surface, Surface, Surface, Surface]


@dataclass(frozen=True)
class Camera:
    """A pinhole; angles in radians, ``pitch`` downwards positive, ``field`` the horizontal view."""

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    roll: float = 0.0
    field: float = np.deg2rad(58.0)

    def axes(self) -> Array:
        """Forward, right and up as rows."""
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        forward = np.array([cy * cp, sy * cp, -sp])
        right = np.array([sy, -cy, 0.0])
        up = np.cross(right, forward)
        return np.stack([forward, cr * right + sr * up, cr * up - sr * right])

    def rays(self, rows: int, columns: int) -> Array:
        """Directions (rows · columns, 3) whose part along the axis is 1, through pixel centres.

        So the parameter of a hit is its depth.
        """
        reach = np.tan(self.field / 2)
        u = ((np.arange(columns) + 0.5) / columns * 2 - 1) * reach
        v = (1 - (np.arange(rows) + 0.5) / rows * 2) * reach * rows / columns
        forward, right, up = self.axes()
        across, down = np.tile(u, rows), np.repeat(v, columns)
        # (3, P) in memory: the caster works component by component
        rays: Array = forward[:, None] + right[:, None] * across + up[:, None] * down
        return rays.T


@dataclass(frozen=True)
class Hits:
    """What the rays meet first: parameter (P,), normal (P, 3), number of the box or −1 − wall.

    Walls are 0 and 1 at low and high x, 2 and 3 at low and high y, 4 floor and 5 ceiling.
    """

    distance: Array
    normal: Array
    thing: npt.NDArray[np.int64]


def cast(room: Room, boxes: Sequence[Box], origin: Array, rays: Array) -> Hits:
    """The first surface along every ray from inside of the room.

    Args:
        room: its walls stop every ray.
        boxes: in the room; the origin lies in none of them.
        origin: (3,).
        rays: (P, 3) directions of any length.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        towards = rays > 0
        t = np.where(towards, np.array(room.size) - origin, -origin) / rays
        t = np.where(rays == 0, np.inf, t)
    axis = t.argmin(1)
    index = np.arange(len(rays))
    distance = t[index, axis]
    high = towards[index, axis]
    thing = -1 - (2 * axis + high)
    normal = np.zeros_like(rays)
    normal[index, axis] = np.where(high, -1.0, 1.0)
    for number, box in enumerate(boxes):
        entries, near, far = _slabs(box, origin, rays)
        met = np.flatnonzero((near < far) & (near > 1e-9) & (near < distance))
        if not len(met):
            continue
        distance[met] = near[met]
        thing[met] = number
        side = np.stack([entry[met] for entry in entries]).argmax(0)
        along = box.local(rays[met], direction=True)[np.arange(len(met)), side]
        own = np.zeros((len(met), 3))
        own[np.arange(len(met)), side] = -np.sign(along)
        c, s = np.cos(box.yaw), np.sin(box.yaw)
        normal[met] = np.stack(
            [c * own[:, 0] - s * own[:, 1], s * own[:, 0] + c * own[:, 1], own[:, 2]], 1
        )
    return Hits(distance, normal, thing)


def seen(boxes: Sequence[Box], points: Array, target: Array) -> npt.NDArray[np.bool_]:
    """Whether nothing stands between each point (P, 3) and a target (3,) in the same room."""
    rays = target - points
    blocked = np.zeros(len(points), dtype=bool)
    for box in boxes:
        _, near, far = _slabs(box, points, rays)
        # entered between point and target, or started just below the surface of the box itself
        blocked |= (near < far) & (near < 1 - 1e-6) & (far > 1e-4)
    return ~blocked


def _slabs(box: Box, origin: Array, rays: Array) -> tuple[tuple[Array, Array, Array], Array, Array]:
    """Where lines cross a box: the entries by axis, the last of them, and the first exit.

    Component by component, which numpy does several times faster than along a short last axis.
    """
    start = np.moveaxis(box.local(origin), -1, 0)
    along = np.moveaxis(box.local(rays, direction=True), -1, 0)
    low, high = [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        for half, s, d in zip(box.half, start, along, strict=True):
            inverse = 1 / d
            a, b = (-half - s) * inverse, (half - s) * inverse
            low.append(np.fmin(a, b))
            high.append(np.fmax(a, b))
    near = np.maximum(np.maximum(low[0], low[1]), low[2])
    far = np.minimum(np.minimum(high[0], high[1]), high[2])
    return (low[0], low[1], low[2]), near, far
