"""What a trained network makes of one photograph: a picture of a map, or the likeliest classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nas.files import replacing
from nas.runs.weights import TrainedNetwork, load_network
from search_spaces import UserError

SHOWN = 5
"""Classes that are listed."""


@torch.no_grad()
def predict(network: Path, photograph: Path, picture: Path | None = None) -> dict[str, Any]:
    """Run a network on an image file.

    Of a network whose output is a map, a picture is drawn: the photograph beside the map, with a
    colour bar; of a map of classes the likeliest of every pixel, with their names. The whole
    photograph is used, squeezed to the network's square input. Of a classifier, the likeliest
    classes are listed.

    Args:
        network: a run, a ``train/<name>`` folder or a weights file.
        photograph: any image that Pillow reads.
        picture: the PNG file to write; by default ``<photograph>.<output>.png`` beside it.

    Returns:
        ``network``, ``image``, ``outputs`` (figures of the map in its unit, the share of pixels of
        each class, or classes with their probabilities) and, for a map, ``picture``.

    Raises:
        UserError: no network, one of several outputs, no readable image, or a picture that is
            asked of a classifier or would take the photograph's place.
    """
    trained = load_network(network)
    image = _read(photograph)
    outputs = trained.module(_prepared(trained, image))
    if not isinstance(outputs, torch.Tensor):
        raise UserError(f"{network}: a network of {len(outputs)} outputs; only one can be shown")
    result: dict[str, Any] = {"schema": 1, "network": str(network), "image": str(photograph)}
    labels = trained.preparation.labels
    if outputs.dim() == 2:
        if picture is not None:
            raise UserError(f"{network}: a classifier; it lists classes and draws no picture")
        shares, order = outputs.softmax(1)[0].sort(descending=True)
        first = list(zip(order.tolist(), shares.tolist(), strict=True))[:SHOWN]
        result["outputs"] = {labels[i]: round(share, 4) for i, share in first}
        return result
    of_classes = outputs.shape[1] > 1 and len(labels) == outputs.shape[1]
    values = outputs[0, 0].float().numpy()
    label = "classes" if of_classes else labels[0] if labels else "output"
    out = picture or photograph.with_name(f"{photograph.stem}.{label.split()[0]}.png")
    if out.resolve() == photograph.resolve():
        raise UserError(f"{out}: is the photograph itself; name another --picture")
    if of_classes:
        found = outputs[0].argmax(0).numpy()
        _draw(image, found, label, out, labels)
        parts = np.bincount(found.ravel(), minlength=len(labels)) / found.size
        ranked = np.argsort(-parts, kind="stable")
        result["outputs"] = {labels[i]: round(float(parts[i]), 4) for i in ranked if parts[i]}
        return {**result, "picture": str(out)}
    _draw(image, values, label, out)
    figures = {"nearest": values.min(), "median": np.median(values), "farthest": values.max()}
    result["outputs"] = {f"{name} {label}": round(float(v), 3) for name, v in figures.items()}
    return {**result, "picture": str(out)}


def _read(path: Path) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            # a phone stores how it was held beside the pixels
            return np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({error})") from None


def _prepared(trained: TrainedNetwork, image: npt.NDArray[np.uint8]) -> torch.Tensor:
    from PIL import Image

    channels, *size = trained.module.network.input_shape
    pixels = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    if channels == 1:
        pixels = pixels.convert("L")
    x = torch.from_numpy(np.array(pixels)).float().div(255).reshape(*size, channels)
    mean, std = torch.tensor(trained.preparation.mean), torch.tensor(trained.preparation.std)
    return ((x - mean) / std).permute(2, 0, 1)[None]


def _draw(
    image: npt.NDArray[np.uint8],
    values: npt.NDArray[Any],
    label: str,
    out: Path,
    classes: Sequence[str] = (),
) -> None:
    from matplotlib.figure import Figure

    height, width = image.shape[:2]
    figure = Figure(figsize=(9.0, 4.0 * min(height / width, 3.0) + 0.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    # drawn over the photograph's own extent, so that both have its proportions
    extent = (0, width, height, 0)
    if classes:
        from nas.tasks.segmentation.pictures import colours

        palette = colours(len(classes))
        limits = {"vmin": -0.5, "vmax": len(classes) - 0.5, "interpolation": "nearest"}
        drawn = right.imshow(values, cmap=palette, extent=extent, **limits)
        bar = figure.colorbar(drawn, ax=right, ticks=range(len(classes)))
        bar.ax.set_yticklabels(classes)
    else:
        drawn = right.imshow(values, cmap="viridis", extent=extent)
        figure.colorbar(drawn, ax=right, label=label)
    for panel in (left, right):
        panel.set_xticks([])
        panel.set_yticks([])
    with replacing(out) as file:
        figure.savefig(file, format="png", dpi=110)
