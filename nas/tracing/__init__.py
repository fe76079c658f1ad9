"""Trained networks of the user's own: traced into a search space of their widths."""

from nas.tracing.loading import load_model
from nas.tracing.trace import Weights, space_from_model

__all__ = ["Weights", "load_model", "space_from_model"]
