"""Reports and figures: what a run found, to look at."""

from nas.report.data import RESULT_SCHEMA, Compared, Member, Run, Score, Search, load_run
from nas.report.figures import architecture_figure, tradeoff_figure
from nas.report.page import write_report

__all__ = [
    "RESULT_SCHEMA",
    "Compared",
    "Member",
    "Run",
    "Score",
    "Search",
    "architecture_figure",
    "load_run",
    "tradeoff_figure",
    "write_report",
]
