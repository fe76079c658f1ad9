"""Depth to look at: input, truth, prediction and error, in metres with colour bars."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor


def comparison(images: Tensor, targets: Tensor, outputs: Tensor) -> Figure:
    """A row per image: input, ground truth, prediction, and where it is too near or too far.

    Args:
        images: (N, 3, R, R) in 0..1.
        targets: (N, 1, R, R) metres; 0, which is unknown, is left white.
        outputs: (N, 1, R, R) metres.
    """
    rows = len(images)
    figure = Figure(figsize=(11.5, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, 4, squeeze=False)
    truth = np.ma.masked_less_equal(targets[:, 0].numpy(), 0)
    found = outputs[:, 0].float().numpy()
    for i in range(rows):
        near, far = float(truth[i].min()), float(truth[i].max())
        error = found[i] - truth[i]
        worst = max(float(np.abs(error).max()), 1e-3)
        panels[i, 0].imshow(images[i].permute(1, 2, 0).numpy())
        shown = [
            panels[i, 1].imshow(truth[i], cmap="viridis", vmin=near, vmax=far),
            panels[i, 2].imshow(found[i], cmap="viridis", vmin=near, vmax=far),
            panels[i, 3].imshow(error, cmap="RdBu_r", vmin=-worst, vmax=worst),
        ]
        figure.colorbar(shown[1], ax=panels[i, 2], label="depth (m)")
        figure.colorbar(shown[2], ax=panels[i, 3], label="error (m)")
        rmse = float(np.sqrt(np.square(error).mean()))
        panels[i, 3].set_title(f"RMSE {rmse:.2f} m", fontsize=9)
        for panel in panels[i]:
            panel.set_xticks([])
            panel.set_yticks([])
    for panel, name in zip(panels[0], ("input", "ground truth", "prediction"), strict=False):
        panel.set_title(name, fontsize=9)
    return figure
