"""Reports and figures: what a run found, to look at."""

from nas.report.data import Run, load_run
from nas.report.figures import architecture_figure, points_figure, tradeoff_figure
from nas.report.page import write_report

__all__ = [
    "Run",
    "architecture_figure",
    "load_run",
    "points_figure",
    "tradeoff_figure",
    "write_report",
]
