"""The depth tasks as recipes name them."""

from __future__ import annotations

from pathlib import Path

from nas.tasks.depth.folders import open_folder
from nas.tasks.depth.readers import FORMS, open_nyu
from nas.tasks.depth.rooms import rendered_rooms
from nas.tasks.depth.task import DepthSettings, DepthTask
from nas.tasks.depth.transforms import Augmentation, Geometry
from search_spaces import UserError, unknown


def nyu_depth(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    form: str = "auto",
    loss: str = "l1",
    score: str = "delta1",
    holdout_by: str = "scene",
    test_share: float = 0.2,
    zoom: float = 1.5,
    rotation: float = 5.0,
    flip: float = 0.5,
    jitter: float = 0.4,
    workers: int = 0,
    cache_gb: float = 4.0,
    corrupt_limit: int = 20,
) -> DepthTask:
    """NYU Depth V2 (Silberman et al., ECCV 2012).

    Args:
        data: FastDepth's tree of HDF5 files, the official ``.mat`` or the reduced ``.npz``.
        resolution: height and width in pixels; 224 in the papers.
        channels: 3.
        classes: outputs of the search space; 1.
        seed: fixes hold-out, order and augmentation.
        holdout: share or number of the training frames.
        form: which of the forms; ``auto`` recognises it.
        loss: ``l1``, ``berhu`` or ``silog``.
        score: what a search goes by, ``delta1`` or ``rmse``.
        holdout_by: whole ``scene``s, ``frame``s, or FastDepth's files (``fastdepth``).
        test_share: of the frames, where the data names no test frames.
        zoom: the largest factor that a training image is scaled by.
        rotation: degrees that a training image is rotated by at most.
        flip: probability of mirroring.
        jitter: strength of changes in colour.
        workers: processes that read; 0 for none.
        cache_gb: gibibytes up to which a split is read once and kept.
        corrupt_limit: frames that cannot be used are skipped and named; more end the run.

    Raises:
        UserError: data missing or broken, or settings that do not fit.
    """
    if form not in ("auto", *FORMS):
        raise unknown("form of NYU Depth V2", form, ("auto", *FORMS))
    if data is None:
        raise UserError("task nyu_depth needs its data: --data PATH or task.data (docs: depth)")
    return DepthTask(
        "nyu_depth",
        open_nyu(data, form),
        resolution=resolution,
        channels=channels,
        classes=classes,
        seed=seed,
        holdout=holdout,
        settings=DepthSettings(
            loss,
            score,
            Augmentation(zoom, rotation, flip, jitter),
            holdout_by,
            test_share,
            workers,
            cache_gb,
            corrupt_limit,
        ),
    )


def depth_folder(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    scale: float = 1000.0,
    loss: str = "l1",
    score: str = "delta1",
    holdout_by: str = "scene",
    test_share: float = 0.2,
    zoom: float = 1.5,
    rotation: float = 5.0,
    flip: float = 0.5,
    jitter: float = 0.4,
    workers: int = 0,
    cache_gb: float = 4.0,
    corrupt_limit: int = 20,
) -> DepthTask:
    """RGB-D recordings of one's own: images beside 16-bit PNG depth.

    Args:
        data: a folder or a manifest, see `nas.tasks.depth.folders.open_folder`.
        resolution: as for `nyu_depth`, and so all others but ``scale``.
        channels: see there.
        classes: see there.
        seed: see there.
        holdout: see there.
        scale: values of the depth images per metre; 1000 for millimetres.
        loss: see `nyu_depth`.
        score: see there.
        holdout_by: see there.
        test_share: see there.
        zoom: see there.
        rotation: see there.
        flip: see there.
        jitter: see there.
        workers: see there.
        cache_gb: see there.
        corrupt_limit: see there.

    Raises:
        UserError: as `nyu_depth`.
    """
    if data is None:
        raise UserError("task depth_folder needs its data: --data PATH or task.data (docs: depth)")
    return DepthTask(
        "depth_folder",
        open_folder(data, scale),
        resolution=resolution,
        channels=channels,
        classes=classes,
        seed=seed,
        holdout=holdout,
        settings=DepthSettings(
            loss,
            score,
            Augmentation(zoom, rotation, flip, jitter),
            holdout_by,
            test_share,
            workers,
            cache_gb,
            corrupt_limit,
        ),
    )


def rooms(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    images: int = 480,
    test_images: int = 120,
    loss: str = "l1",
    score: str = "delta1",
    zoom: float = 1.0,
    rotation: float = 2.0,
    flip: float = 0.5,
    jitter: float = 0.1,
) -> DepthTask:
    """Furnished rooms that are rendered here, so that depth can be tried anywhere in minutes.

    Args:
        data: must be None.
        resolution: height and width in pixels.
        channels: 3.
        classes: outputs of the search space; 1.
        seed: fixes hold-out, order and augmentation; the rooms are always the same.
        holdout: share or number of the training rooms.
        images: training rooms, the hold-out's included; one image each.
        test_images: rooms that score final results.
        loss: as for `nyu_depth`, and so all that follow.
        score: see there.
        zoom: see there.
        rotation: see there.
        flip: see there.
        jitter: see there.

    Raises:
        UserError: a data path, or settings that do not fit.
    """
    if data is not None:
        raise UserError("task rooms renders its own data; remove task.data")
    if images < 2 or test_images < 1:
        raise UserError("task rooms needs images >= 2 and test_images >= 1")
    return DepthTask(
        "rooms",
        rendered_rooms(images, test_images, Geometry(resolution).base),
        resolution=resolution,
        channels=channels,
        classes=classes,
        seed=seed,
        holdout=holdout,
        settings=DepthSettings(
            loss,
            score,
            Augmentation(zoom, rotation, flip, jitter),
            "scene",
            0.2,
            0,
            4.0,
            0,
        ),
    )
