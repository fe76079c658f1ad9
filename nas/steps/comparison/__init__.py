"""Variations of a recipe over seeds: what is run, the running of it, and the table."""

from nas.steps.comparison.run import compare
from nas.steps.comparison.table import ComparisonResult, Row

__all__ = ["ComparisonResult", "Row", "compare"]
