"""An oracle of ImageNet accuracy: Once-for-All's predictor (Cai et al., ICLR 2020) and its space.

The predictor is a small network that its authors fitted to the accuracies of 16,000 sub-networks
of their MobileNetV3 super-network at width 1.2. It scores thousands of networks a second, so that
a search can be tested alone. Its file is not part of this project; its arrays are ``w0``, ``b0``
… ``w3``, ``b3``: four fully connected layers of 128 → 400 → 400 → 400 → 1 with ReLU between.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from search_spaces import SearchSpace, UserError
from search_spaces.batch import Matrix, Vector
from search_spaces.builder import GraphBuilder
from search_spaces.choices import Choice, Width
from search_spaces.operation import Activation

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
BLOCKS = 4
"""Of a stage at most; the first two stay."""

STAGES: tuple[tuple[int, int, Activation, bool], ...] = (
    (32, 2, "relu", False),
    (48, 2, "relu", True),
    (96, 2, "hard_swish", False),
    (136, 1, "hard_swish", True),
    (192, 2, "hard_swish", True),
)
"""Filters, stride of the first block, activation, squeeze-and-excite."""


def space() -> SearchSpace:
    """Once-for-All's MobileNetV3 space at width 1.2 and 224 px: kernels, expansions, depth."""
    graph = GraphBuilder(input_channels=3, resolution=224, bypass=True)
    x = graph.conv("stem", "input", Width(24), kernel=3, stride=2, activation="hard_swish")
    x = graph.depthwise("first.depthwise", x, kernel=3, activation="relu")
    x = graph.conv("first.pointwise", x, Width(24))
    values: dict[str, tuple[int, ...]] = {}
    channels = 24
    for s, (filters, stride, activation, squeeze_excite) in enumerate(STAGES, 1):
        for b in range(1, BLOCKS + 1):
            name = f"stage{s}.block{b}"
            x = graph.inverted_residual(
                name,
                x,
                filters,
                max(EXPANSIONS) * channels,
                kernels=KERNELS,
                stride=stride if b == 1 else 1,
                activation=activation,
                squeeze_excite=squeeze_excite,
            )
            values[f"{name}.width"] = (0, filters) if b > 2 else (filters,)
            values[f"{name}.expansion"] = tuple(e * channels for e in EXPANSIONS)
            channels = filters
    x = graph.conv("head", x, Width(1152), activation="hard_swish")
    x = graph.global_pool("pool", x)
    x = graph.linear("features", x, Width(1536), activation="hard_swish")
    x = graph.linear("classifier", x, Width(1000))
    wide = graph.build("once_for_all", x, classes=1000)
    choices: dict[str, Choice] = {
        name: replace(choice, values=values.get(name, choice.values))
        for name, choice in wide.choices.items()
    }
    return replace(wide, choices=choices, embedded=True)


class Accuracy:
    """The predicted top-1 accuracy of networks of `space`, in percent.

    Args:
        path: of the predictor's arrays (``.npz``).

    Raises:
        UserError: no such file, or other arrays.
    """

    unit = "%"

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path) as file:
                self._layers = [(file[f"w{i}"], file[f"b{i}"]) for i in range(4)]
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"{path}: not the predictor's arrays ({error})") from None
        self._names = list(space().choices)

    def batch(self, rows: Matrix) -> Vector:
        """The accuracy of every row of values, a column per choice; shape (rows,)."""
        x = self._features(rows)
        *hidden, (weight, bias) = self._layers
        for w, b in hidden:
            x = np.maximum(x @ w.T + b, 0)
        out: Vector = 100 * (x @ weight.T + bias)[:, 0].astype(np.float64)
        return out

    def _features(self, rows: Matrix) -> Vector:
        """128 flags: kernel and expansion of each block, absent ones last; then the resolution."""
        column = {name: rows[:, i] for i, name in enumerate(self._names)}
        kernels = np.zeros((len(rows), len(STAGES) * BLOCKS, len(KERNELS)))
        ratios = np.zeros_like(kernels)
        channels = 24
        for s, (filters, *_) in enumerate(STAGES):
            position = np.full(len(rows), s * BLOCKS)
            for b in range(1, BLOCKS + 1):
                name = f"stage{s + 1}.block{b}"
                alive = np.flatnonzero(column[f"{name}.width"] > 0)
                at = position[alive]
                kernel = np.searchsorted(KERNELS, column[f"{name}.kernel"][alive])
                ratio = np.searchsorted(EXPANSIONS, column[f"{name}.expansion"][alive] // channels)
                kernels[alive, at, kernel] = 1
                ratios[alive, at, ratio] = 1
                position[alive] += 1
                channels = filters
        resolution = np.zeros((len(rows), 8))
        resolution[:, -1] = 1
        parts = [kernels.reshape(len(rows), -1), ratios.reshape(len(rows), -1), resolution]
        return np.concatenate(parts, axis=1)
