"""Cutting frames by scene: neighbouring frames of one room must not be on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch

import numpy as np
import numpy.typing as npt

from nas.tasks.depth.frames import Frames
from search_spaces import UserError, unknown

Indices = npt.NDArray[np.int64]

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
    count = len(frames)
    wanted = round(share * count) if share < 1 else int(share)
    if not 0 < wanted < count and rule != "fastdepth":
        raise UserError(
            f"task {task}: a hold-out of {wanted} out of {count} frames leaves nothing on one "
            "side; change task.holdout"
        )
    if rule == "fastdepth":
        taken = np.array(
            [any(fnmatch(frames.name(i), p) for p in FASTDEPTH_FILES) for i in range(count)]
        )
    else:
        groups = _groups(frames.scenes, by_scene=rule == "scene")
        taken = np.isin(groups, _chosen(groups, wanted, seed))
    if taken.all() or not taken.any():
        raise UserError(f"task {task}: hold-out by {rule} leaves nothing on one side")
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _groups(scenes: Sequence[str], *, by_scene: bool) -> Indices:
    """A number per frame, equal within a scene."""
    if not by_scene or len(set(scenes)) < 2:
        return np.arange(len(scenes))
    numbers: dict[str, int] = {}
    names = [scene or f"\0{i}" for i, scene in enumerate(scenes)]
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _chosen(groups: Indices, wanted: int, seed: int) -> list[int]:
    """Groups in random order, the first and each that comes closer to the wanted number."""
    sizes = np.bincount(groups)
    chosen: list[int] = []
    total = 0
    for group in np.random.default_rng([seed, 0x5CE7E]).permutation(len(sizes)).tolist():
        if not chosen or abs(total + sizes[group] - wanted) < abs(total - wanted):
            chosen.append(group)
            total += int(sizes[group])
    return chosen
