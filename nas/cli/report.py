"""``nas report``: plots and one HTML page about one or several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json
from nas.cli.output import output


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page; default report.html in the first run.")
    ] = None,
    json: Json = False,
) -> None:
    """An HTML report of one run, or of several side by side; needs no network to be opened."""
    with output(json) as printer:
        from nas.report import write_report
        from nas.runs.folder import RunFolder

        path = write_report(runs, out or RunFolder(runs[0]).report)
        printer.result({"schema": 1, "report": str(path)}, lambda: f"report: {path}")
