"""Rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation, ties at their mean rank; 1 for fewer than two values."""
    if len(a) < 2:
        return 1.0
    ranks = [_ranks(np.asarray(values, dtype=float)) for values in (a, b)]
    if min(r.std() for r in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray[Any, Any] = (ends - (counts - 1) / 2)[inverse]
    return ranks
