"""The ray-caster is exact, and its rooms are the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from nas.tasks.depth import rooms
from nas.tasks.depth.raycast import Box, Camera, Room, Surface, cast, seen
from nas.tasks.depth.rooms import furnished, picture, render, rendered_rooms
from search_spaces import UserError

PLAIN = Surface((0.5, 0.5, 0.5), (0.4, 0.4, 0.4))
EMPTY = Room((4.0, 6.0, 2.5), PLAIN, PLAIN, (PLAIN,) * 4)


def test_a_wall_that_is_faced_has_one_depth_and_the_floor_follows_the_pinhole():
    camera = Camera((2.0, 1.0, 1.5), yaw=np.pi / 2, pitch=0.0)
    rays = camera.rays(60, 80)
    hits = cast(EMPTY, [], np.array(camera.position), rays)
    depth, thing = hits.distance.reshape(60, 80), hits.thing.reshape(60, 80)
    assert (thing[25:30, 30:50] == -4).all()  # the wall at high y
    assert depth[thing == -4] == pytest.approx(5.0, abs=1e-12)
    reach = np.tan(camera.field / 2) * 60 / 80
    for row in (58, 59):
        down = -(1 - (row + 0.5) / 60 * 2) * reach
        assert (thing[row, 38:42] == -5).all()
        assert depth[row, 38:42] == pytest.approx(1.5 / down, abs=1e-12)


def test_every_hit_lies_on_its_surface_and_nothing_is_nearer():
    for number in range(4):
        source = np.random.default_rng(number)
        room, boxes, camera, _ = furnished(source)
        origin = np.array(camera.position)
        rays = camera.rays(24, 32)
        hits = cast(room, boxes, origin, rays)
        points = origin + hits.distance[:, None] * rays
        assert (np.abs((hits.normal**2).sum(1) - 1) < 1e-9).all()
        assert ((hits.normal * rays).sum(1) < 0).all()
        for i, box in enumerate(boxes):
            own = np.abs(box.local(points[hits.thing == i])) - np.array(box.half)
            assert (np.abs(own.max(1)) < 1e-9).all() if len(own) else True
            # no point between camera and hit lies inside of any box
            for share in (0.3, 0.6, 0.9, 0.999):
                between = origin + share * hits.distance[:, None] * rays
                inside = (np.abs(box.local(between)) < np.array(box.half) - 1e-9).all(1)
                assert not inside.any()
        walls = points[hits.thing < 0]
        on_wall = np.minimum(np.abs(walls), np.abs(walls - np.array(room.size))).min(1)
        assert (on_wall < 1e-9).all()


def test_shadows_fall_behind_boxes():
    box = Box((2.0, 3.0, 0.5), (0.5, 0.5, 0.5), PLAIN, yaw=0.4)
    floor = np.array([[2.0, 4.2, 0.0], [2.0, 1.8, 0.0], [0.2, 0.2, 0.0]])
    lamp = np.array([2.0, 1.5, 1.2])
    assert seen([box], floor + np.array([0, 0, 1e-4]), lamp).tolist() == [False, True, True]
    top = np.array([[2.0, 3.0, 1.0 + 1e-4]])
    assert seen([box], top, lamp).tolist() == [True]


def test_the_sensor_misses_what_is_far_near_hidden_or_glass():
    glass = Surface((1, 1, 1), (1, 1, 1), glass=True)
    room = Room((4.0, 12.0, 2.5), PLAIN, PLAIN, (glass, PLAIN, PLAIN, PLAIN))
    box = Box((2.6, 2.5, 1.5), (0.3, 0.3, 0.3), PLAIN)
    camera = Camera((2.0, 0.5, 1.5), yaw=np.pi / 2, pitch=0.0)
    source = np.random.default_rng(0)
    image, depth, holes = picture(room, [box], camera, np.array([2, 6, 2.4]), (60, 80), source)
    assert image.shape == (60, 80, 3) and (depth > 0).all()
    assert holes[depth > 8].all() and (depth > 8).any()
    left = cast(room, [box], np.array(camera.position), camera.rays(60, 80)).thing == -1
    assert holes[left.reshape(60, 80)].all() and left.any()
    clean = ~holes & (depth < 8)
    assert clean.mean() > 0.4


def test_rooms_are_the_same_each_time_and_differ_between_splits():
    size = (36, 48)
    a, b = render(1, 5, size), render(1, 5, size)
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    recording = rendered_rooms(3, 2, size)
    assert len(recording.train) == 3 and len(recording.test) == 2
    assert not np.array_equal(recording.train.read(0)[1], recording.test.read(0)[1])
    for frames in (recording.train, recording.test):
        for i in range(len(frames)):
            image, depth = frames.read(i)
            assert image.dtype == np.uint8 and image.std() > 5
            assert depth.max() < 8 and (depth > 0).mean() > 0.7


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"data": "x"}, "renders its own"), ({"images": 1}, "images >= 2"), ({"loss": "mse"}, "loss")],
)
def test_what_does_not_fit_is_refused(changes, words):
    arguments = {"resolution": 32, "channels": 3, "classes": 1, "seed": 0, "holdout": 0.3}
    with pytest.raises(UserError, match=words):
        rooms(**{"data": None, "images": 4, "test_images": 1, **arguments, **changes})
