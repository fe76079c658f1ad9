"""A report's table of how far a search's scores can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from nas.report.data import Run
from nas.report.shipped import section, table
from nas.runs.results import FamilyMember

HEADS = ("Search", "Network", "Hold-out score", "95 % interval", "Expected by the model")

NOTE = (
    "Scored with the super-network's weights on the hold-out images. The interval is what other "
    "images like these may give the same network. It leaves the winner's curse out: a network that "
    "was chosen because it scored best among many scores too high on average, the more so the "
    "closer the candidates are. What the model expects, given every network that was evaluated, is "
    "less biased."
)


def noise_section(runs: Sequence[Run]) -> str:
    """The largest and the best network of each search with interval and expected score; empty
    where no search knows either.
    """
    lines = []
    for run in runs:
        for search in run.searches:
            name = f"{run.name}, {search.name}" if len(runs) > 1 else search.name
            for label, member in (
                ("largest", next(iter(search.family), None)),
                ("best", search.best),
            ):
                if member is not None and (member.interval or member.expected is not None):
                    lines.append(_row(name, label, member))
    if not lines:
        return ""
    return section("How sure the search's scores are", NOTE, table(HEADS, lines))


def _row(search: str, label: str, member: FamilyMember) -> str:
    def text(value: float | None) -> str:
        return "–" if value is None else replace(member.score, value=value).text

    low, high = member.interval or (None, None)
    interval = "–" if low is None else f"{text(low)} to {text(high)}"
    cells = (search, label, member.score.text, interval, text(member.expected))
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
