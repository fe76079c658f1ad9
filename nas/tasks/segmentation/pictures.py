"""Label maps to look at: input, truth and prediction, every class in its colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from nas.tasks.segmentation.metrics import IGNORED, fitted

Pictures = Callable[[Tensor, Tensor, Tensor], Figure]


def colours(classes: int) -> ListedColormap:
    """As many different colours."""
    golden = (np.arange(classes) * 0.618) % 1
    from matplotlib import colormaps

    return ListedColormap(colormaps["turbo"](golden))


def comparison(labels: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> Pictures:
    """What draws a row per image: input, ground truth, prediction, and where they differ.

    Args:
        labels: names of the classes.
        mean: that the images were normalised with.
        std: likewise.
    """
    palette = colours(len(labels))

    def draw(images: Tensor, targets: Tensor, outputs: Tensor) -> Figure:
        found = fitted(outputs, targets).argmax(1).numpy()
        truth = np.ma.masked_equal(targets.numpy(), IGNORED)
        rows = len(images)
        figure = Figure(figsize=(9.5, 2.4 * rows + 0.5), layout="constrained")
        panels = figure.subplots(rows, 4, squeeze=False)
        for i in range(rows):
            pixels = images[i].permute(1, 2, 0).numpy() * np.array(std) + np.array(mean)
            panels[i, 0].imshow(pixels.clip(0, 1))
            for panel, values in ((panels[i, 1], truth[i]), (panels[i, 2], found[i])):
                limits = {"vmin": -0.5, "vmax": len(labels) - 0.5, "interpolation": "nearest"}
                panel.imshow(values, cmap=palette, **limits)
            wrong = np.ma.masked_array(found[i] != truth[i].data, np.ma.getmaskarray(truth[i]))
            panels[i, 3].imshow(wrong, cmap="Reds", vmin=0, vmax=1, interpolation="nearest")
            panels[i, 3].set_title(f"{100 * (1 - wrong.mean()):.1f} % right", fontsize=9)
            for panel in panels[i]:
                panel.set_xticks([])
                panel.set_yticks([])
        for panel, name in zip(panels[0], ("input", "ground truth", "prediction"), strict=False):
            panel.set_title(name, fontsize=9)
        handles = [Patch(color=palette(i), label=name) for i, name in enumerate(labels)]
        figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8)
        return figure

    return draw
