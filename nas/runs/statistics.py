"""Means over seeds and what their differences are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if values else None


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None of fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def half_interval(differences: Sequence[float]) -> float | None:
    """Half the 95 % interval of the mean of paired differences, by Student's t.

    None of fewer than two differences.
    """
    deviation = spread(differences)
    if deviation is None:
        return None
    # scikit-learn, which the package needs, brings scipy
    from scipy.stats import t

    count = len(differences)
    return float(t.ppf(0.975, count - 1) * deviation / math.sqrt(count))
