"""Cutting frames by scene: neighbouring frames of one room must not be on both sides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from fnmatch import fnmatch

import numpy as np

from nas.tasks.depth.frames import Frames
from nas.tasks.splits import Indices, grouped_holdout
from search_spaces import UserError, unknown

FASTDEPTH_FILES = ("*00001.h5", "*00201.h5")
"""FastDepth's convention: these frames of every scene are held out."""

RULES = ("scene", "frame", "fastdepth")


def cut(
    frames: Frames, share: float, seed: int, *, task: str, rule: str = "scene"
) -> tuple[Indices, Indices]:
    """Cut frames in two: (the rest, the chosen), sorted.

    Args:
        frames: all of them.
        share: of the frames, or their number where it is 1 or more; met as closely as whole
            scenes allow.
        seed: fixes which.
        task: named in errors.
        rule: whole ``scene``s, a frame without a scene counting as one; single ``frame``s; or
            ``fastdepth``, the files of `FASTDEPTH_FILES`.

    Raises:
        UserError: unknown rule, or nothing would be left on one side.
    """
    if rule not in RULES:
        raise unknown("hold-out rule", rule, RULES)
    if rule != "fastdepth":
        groups = _groups(frames.scenes, by_scene=rule == "scene")
        return grouped_holdout(groups, share, seed, task=task)
    count = len(frames)
    taken = np.array(
        [any(fnmatch(frames.name(i), p) for p in FASTDEPTH_FILES) for i in range(count)]
    )
    if taken.all() or not taken.any():
        raise UserError(f"task {task}: hold-out by {rule} leaves nothing on one side")
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _groups(scenes: Sequence[str], *, by_scene: bool) -> Sequence[Hashable]:
    """A group per frame, equal within a scene; without scenes each frame is one."""
    if not by_scene or len(set(scenes)) < 2:
        return range(len(scenes))
    return [scene or i for i, scene in enumerate(scenes)]
