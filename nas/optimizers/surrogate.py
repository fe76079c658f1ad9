"""A model of the score, fitted to every network that was evaluated so far."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from search_spaces import SearchSpace
from search_spaces.batch import Matrix, Vector

LENGTHS = (0.3, 1.0, 3.0)
"""Length scales that are tried, as shares of the mean squared distance."""

CURVED = (0.1, 0.5, 0.9)
"""Shares of the prior variance that is not linear."""

NOISE = (1e-3, 1e-2, 1e-1, 0.5)
"""Shares of the scores' variance that are noise."""

TUNED = 400
"""Networks, the last ones, by which the settings are chosen."""

KEPT = 1000
"""Networks, the last ones, that the model is fitted to: fitting takes the third power of them."""


class Encoding:
    """Architectures as vectors: what a choice adds from each of its values to the next.

    A choice with K values has K features, of which the first v are set for its v-th value, over
    √K. So neighbouring widths are alike, any sum of functions of single choices is linear, and
    all choices weigh the same. A dead choice has none set.
    """

    def __init__(self, space: SearchSpace) -> None:
        names = list(space.choices)
        self._choices = [
            (i, np.array(c.values), None if c.requires is None else names.index(c.requires))
            for i, c in enumerate(space.choices.values())
            if len(c.values) > 1
        ]

    def __call__(self, rows: Matrix) -> Vector:
        """Shape (rows, features)."""
        parts = []
        for column, values, requires in self._choices:
            reached = rows[:, column, None] >= values
            if requires is not None:
                reached = reached & (rows[:, requires, None] > 0)
            parts.append(reached / np.sqrt(len(values)))
        return np.concatenate(parts, axis=1)


class Surrogate:
    """A Gaussian process: a sum over the choices, and a smooth function of all of them together.

    The kernel is linear plus squared exponential over `Encoding` (Rasmussen and Williams,
    *Gaussian Processes for Machine Learning*, 2006, chapters 2 and 5). Its three settings are
    those of a small grid with the highest marginal likelihood. The arithmetic is the same in
    every process that is told the same scores.

    Args:
        features: of the evaluated networks; shape (networks, features), at least two.
        scores: shape (networks,).
    """

    def __init__(self, features: Vector, scores: Vector) -> None:
        self._set_settings(features[-TUNED:], scores[-TUNED:])
        features, scores = features[-KEPT:], scores[-KEPT:]
        self._features = features
        self._shift, self._scale = float(scores.mean()), float(scores.std()) or 1.0
        kernel = self._kernel(features, features) + self._noise * np.eye(len(scores))
        self._factor = np.linalg.cholesky(kernel)
        half = np.linalg.solve(self._factor, (scores - self._shift) / self._scale)
        self._variance = float(np.mean(half**2))
        self._weights = np.linalg.solve(self._factor.T, half)

    def predict(self, features: Vector) -> tuple[Vector, Vector]:
        """Mean and standard deviation of the score without noise; shapes (networks,)."""
        between = self._kernel(features, self._features)
        mean = self._shift + self._scale * (between @ self._weights)
        explained = np.linalg.solve(self._factor, between.T)
        prior = (1 - self._curved) * ((features - self._centre) ** 2).sum(axis=1) / self._spread
        left = np.maximum(prior + self._curved - (explained**2).sum(axis=0), 0.0)
        return mean, self._scale * np.sqrt(self._variance * left)

    def _kernel(self, a: Vector, b: Vector) -> Vector:
        linear = (a - self._centre) @ (b - self._centre).T / self._spread
        curved: Vector = np.exp(-_distances(a, b) / self._length)
        return (1 - self._curved) * linear + self._curved * curved

    def _set_settings(self, features: Vector, scores: Vector) -> None:
        self._centre: npt.NDArray[np.float64] = features.mean(axis=0)
        centred = features - self._centre
        linear = centred @ centred.T
        distances = _distances(features, features)
        self._spread = float(np.trace(linear)) / len(features) or 1.0
        mean = float(distances.mean()) or 1.0
        target = (scores - scores.mean()) / (scores.std() or 1.0)
        best = -np.inf
        for length in LENGTHS:
            smooth = np.exp(-distances / (length * mean))
            for curved in CURVED:
                kernel = (1 - curved) * linear / self._spread + curved * smooth
                for noise in NOISE:
                    factor = np.linalg.cholesky(kernel + noise * np.eye(len(target)))
                    half = np.linalg.solve(factor, target)
                    likelihood = -0.5 * len(target) * np.log(np.mean(half**2) + 1e-12)
                    likelihood -= np.log(np.diag(factor)).sum()
                    if likelihood > best:
                        best = float(likelihood)
                        self._length, self._curved, self._noise = length * mean, curved, noise


def _distances(a: Vector, b: Vector) -> Vector:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    out: Vector = np.maximum(squared, 0)
    return out
