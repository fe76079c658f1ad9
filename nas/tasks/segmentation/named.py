"""The segmentation tasks as recipes name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.tasks.depth.task import MEAN, STD
from nas.tasks.own import OwnTask
from nas.tasks.segmentation.folders import Meaning, label_names, open_folder
from nas.tasks.segmentation.images import Augmented, Maps, Pairs, Some, augmentation, kept_size
from nas.tasks.segmentation.metrics import Confusion, cross_entropy
from nas.tasks.segmentation.pictures import comparison
from nas.tasks.segmentation.rooms import LABELS, labelled_rooms
from nas.tasks.splits import TEST_SEED, grouped_holdout
from search_spaces import UserError


def segmentation_folder(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    labels: Sequence[str] = (),
    first: int = 0,
    ignore: Sequence[int] = (255,),
    test_share: float = 0.2,
    min_scale: float = 0.25,
    flip: float = 0.5,
    jitter: float = 0.4,
    workers: int = 0,
    cache_gb: float = 4.0,
) -> OwnTask:
    """Images beside label maps: a grey or palette PNG whose values are classes.

    Args:
        data: a folder, see `nas.tasks.segmentation.folders.open_folder`; a ``labels.txt`` in it
            names the classes, one a line.
        resolution: height and width in pixels that images are squeezed to.
        channels: 3.
        classes: outputs of the search space.
        seed: of hold-out, order and augmentation, which the adapter of own tasks looks after.
        holdout: likewise.
        labels: names of the classes, in place of ``labels.txt``.
        first: the label map's value of the first class.
        ignore: its values that count nowhere.
        test_share: of the images, where there is no folder with test images.
        min_scale: the smallest share of an image's area that a training crop may have.
        flip: probability of mirroring.
        jitter: strength of changes in colour.
        workers: processes that read; 0 for none. With them nothing is kept in memory.
        cache_gb: gibibytes up to which the images are decoded once and kept.

    Raises:
        UserError: data missing, or settings that do not fit.
    """
    if data is None:
        raise UserError(
            "task segmentation_folder needs its data: --data PATH or task.data (docs: segmentation)"
        )
    names = label_names(data, classes, labels)
    found, beside = open_folder(data, Meaning(classes, first, ignore))
    train: Pairs = found
    if beside is not None:
        test: Pairs = beside
    else:
        rest, chosen = grouped_holdout(
            range(len(found)), test_share, TEST_SEED, task="segmentation_folder (test)"
        )
        train, test = Some(found, rest.tolist()), Some(found, chosen.tolist())
    size = (len(train) + len(test)) * 4 * kept_size(resolution) ** 2
    return _task(
        "segmentation_folder",
        train,
        test,
        names,
        resolution=resolution,
        channels=channels,
        change=(min_scale, flip, jitter),
        in_memory=workers == 0 and size <= cache_gb * 2**30,
        workers=workers,
    )


def rooms_segmentation(
    *,
    data: Path | None,
    resolution: int,
    channels: int,
    classes: int,
    seed: int,
    holdout: float,
    images: int = 480,
    test_images: int = 120,
    min_scale: float = 0.8,
    flip: float = 0.5,
    jitter: float = 0.2,
) -> OwnTask:
    """What every pixel of a furnished room shows; the rooms are rendered here, as for depth.

    Args:
        data: must be None.
        resolution: height and width in pixels.
        channels: 3.
        classes: outputs of the search space; 5.
        seed: as for `segmentation_folder`; the rooms are always the same.
        holdout: likewise.
        images: training rooms, the hold-out's included; one image each.
        test_images: rooms that score final results.
        min_scale: as for `segmentation_folder`, and so all that follow.
        flip: see there.
        jitter: see there.

    Raises:
        UserError: a data path, or settings that do not fit.
    """
    if data is not None:
        raise UserError("task rooms_segmentation renders its own data; remove task.data")
    if images < 2 or test_images < 1:
        raise UserError("task rooms_segmentation needs images >= 2 and test_images >= 1")
    if classes != len(LABELS):
        raise UserError(
            f"task rooms_segmentation has {len(LABELS)} classes, the search space {classes} "
            f"outputs; use --set space.settings.classes={len(LABELS)}"
        )
    rows = kept_size(resolution)
    train, test = labelled_rooms(images, test_images, (rows, round(rows * 4 / 3)))
    return _task(
        "rooms_segmentation",
        train,
        test,
        LABELS,
        resolution=resolution,
        channels=channels,
        change=(min_scale, flip, jitter),
        in_memory=True,
        workers=0,
    )


def _task(
    name: str,
    train: Pairs,
    test: Pairs,
    labels: Sequence[str],
    *,
    resolution: int,
    channels: int,
    change: tuple[float, float, float],
    in_memory: bool,
    workers: int,
) -> OwnTask:
    min_scale, flip, jitter = change
    if channels != 3:
        raise UserError(f"task {name} has 3 channels, the space asks for {channels}")
    for word, value in (("min_scale", min_scale), ("flip", flip)):
        if not 0 <= value <= 1:
            raise UserError(f"task.settings.{word} = {value}: must lie between 0 and 1")
    maps = Maps(train, resolution, in_memory)
    tests = Maps(test, resolution, in_memory)
    if in_memory:
        # what cannot be read, or has unknown labels, is found now and not during a training
        for part in (maps, tests):
            for index in range(len(part)):
                part.large(index)
    changed = augmentation(resolution, min_scale=min_scale, flip=flip, jitter=jitter)
    return OwnTask(
        name=name,
        train=Augmented(maps, changed),
        plain=maps,
        test=tests,
        loss=cross_entropy,
        score=Confusion(labels),
        score_name="mIoU",
        unit="%",
        beside="pixel accuracy",
        labels=labels,
        mean=MEAN,
        std=STD,
        pictures=comparison(labels, MEAN, STD),
        workers=workers,
    )
