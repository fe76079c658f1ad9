"""Non-negative least squares on relative errors, and its cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lut.ranks import spearman
from search_spaces import UserError

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """How predictions agree with measurements; errors are fractions of the measurement."""

    count: int
    median_error: float
    mean_error: float
    p90_error: float
    spearman: float | None
    bias: float
    """Median of the signed errors."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, rounded to four digits behind the point (rank correlation five)."""
        return {
            k: round(v, 5 if k == "spearman" else 4) if isinstance(v, float) else v
            for k, v in asdict(self).items()
        }


def accuracy(predicted: Vector, measured: Vector) -> Accuracy:
    """Compare predictions with measurements of the same unit, both of shape (n,)."""
    error = predicted / measured - 1
    size = np.abs(error)
    return Accuracy(
        count=len(measured),
        median_error=float(np.median(size)),
        mean_error=float(size.mean()),
        p90_error=float(np.quantile(size, 0.9)),
        spearman=spearman(list(predicted), list(measured)) if len(measured) > 2 else None,
        bias=float(np.median(error)),
    )


def fit(
    amounts: Matrix,
    measured: Vector,
    *,
    power: float = 2.0,
    ridge: float = 0.0,
    weights: Vector | None = None,
) -> Vector:
    """Non-negative coefficients c that minimise Σ weight · |amounts · c / measured − 1|^power.

    Args:
        amounts: (n, features).
        measured: (n,), positive.
        power: 2 is least squares; lower is more robust, by reweighting.
        ridge: pulls the share of each feature towards 0, in units of one measurement.
        weights: (n,) of the measurements; None is 1 each.

    Raises:
        UserError: scipy is not installed.
    """
    try:
        from scipy.optimize import nnls
    except ImportError:
        raise UserError("fitting needs scipy: pip install 'netadapt[fit]'") from None
    relative = amounts / measured[:, None]
    # scaled by the mean share of a feature, so that the ridge treats all alike
    scale = np.maximum(relative.mean(axis=0), 1e-12)
    relative = relative / scale
    pull, zero = ridge * np.eye(len(scale)), np.zeros(len(scale))
    given = np.ones(len(measured)) if weights is None else np.sqrt(weights)
    roots = given
    for _ in range(1 if power == 2 else 12):
        rows = np.vstack([relative * roots[:, None], pull])
        coefficients = nnls(rows, np.concatenate([roots, zero]), maxiter=50_000)[0]
        # reweighting turns least squares into the power that is asked for
        size = np.maximum(np.abs(relative @ coefficients - 1), 0.01)
        steps = np.sqrt(size ** (power - 2))
        roots = given * steps / steps.max()
    return np.asarray(coefficients / scale, dtype=np.float64)


def folds(count: int, parts: int, seed: int) -> list[npt.NDArray[np.intp]]:
    """Random index sets that cover 0 … count − 1 once."""
    order = np.random.default_rng(seed).permutation(count)
    return [order[i::parts] for i in range(parts)]


def held_out(
    amounts: Matrix,
    measured: Vector,
    groups: Sequence[npt.NDArray[np.intp]],
    *,
    weights: Vector | None = None,
    **settings: Any,
) -> Vector:
    """Predictions of every group by the fit to everything outside it; NaN where in no group."""
    predicted = np.full(len(measured), np.nan)
    for group in groups:
        train = np.setdiff1d(np.arange(len(measured)), group)
        inner = None if weights is None else weights[train]
        solved = fit(amounts[train], measured[train], weights=inner, **settings)
        predicted[group] = amounts[group] @ solved
    return predicted
