"""A report's table of the files that ship: float32 beside int8. And what a section looks like."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nas.report.data import Run
from nas.report.svg import milliseconds, signed
from nas.runs.results import Shipped

HEADS = ("Network", "File", "Score", "Size", "Latency, predicted", "Latency, measured")


def section(title: str, note: str, body: str) -> str:
    """A section of the page: its title, a sentence about it, and HTML."""
    lead = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{lead}\n{body}\n</section>"


def table(heads: Sequence[str], lines: Sequence[str]) -> str:
    """A table that scrolls where it is wide; ``lines`` are its rows as HTML."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def shipped_section(runs: Sequence[Run]) -> str:
    """Accuracy, size and latency of every file side by side; empty where there are none."""
    lines = []
    for run in runs:
        for name, rows in run.shipped.items():
            label = f"{run.name}, {name}" if len(runs) > 1 else name
            lines += [_row(label, row, rows[0]) for row in rows]
    if not lines:
        return ""
    note = (
        "Scored as the file on the test split, in LiteRT. Small figures: points to the first file, "
        "its size, and what the prediction is off."
    )
    return section("As shipped", note, table(HEADS, lines))


def _row(label: str, row: Shipped, first: Shipped) -> str:
    def cell(text: str, small: str = "") -> str:
        return f"<td>{escape(text)}{f'<small>{escape(small)}</small>' if small else ''}</td>"

    predicted, measured = row.latency_predicted_ms, row.latency_measured_ms
    off = f"{signed(100 * (predicted / measured - 1))} %" if predicted and measured else ""
    points = "" if row is first else f"{row.score.value - first.score.value:+.1f}"
    cells = [
        cell(label),
        cell(row.precision + (", fine-tuned" if row.fine_tuned else "")),
        cell(row.score.text, points),
        cell(f"{row.bytes / 1000:.1f} kB", f"{100 * row.bytes / first.bytes:.0f} %"),
        cell("–" if predicted is None else milliseconds(predicted), off),
        cell("–" if measured is None else milliseconds(measured)),
    ]
    return f"<tr>{''.join(cells)}</tr>"
