"""``nas quickstart``: the whole road on this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table

from nas.cli.options import Json, Out, Overrides, Seed
from nas.cli.output import count, duration, output


def quickstart(
    task: Annotated[str, typer.Option("--task", help="digits or depth.")] = "digits",
    overrides: Overrides = None,
    seed: Seed = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """All three steps on real images and this machine's own latency, in minutes."""
    with output(json) as printer:
        from nas.steps.quickstart import quickstart as run

        result = run(task=task, overrides=overrides or [], seed=seed, out=out, reporter=printer)
        printer.result(result, lambda: _summary(result))


def _summary(result: dict[str, Any]) -> Group:
    table = Table(title=f"{result['experiment']}, test split", title_justify="left")
    table.add_column("network")
    for name in ("score", "predicted", "measured", "MACs", "parameters"):
        table.add_column(name, justify="right")
    for row in result["comparison"]:
        score = row["score"]
        # a reference that needs no network has only a score
        milliseconds = [row.get(f"latency_{kind}_ms") for kind in ("predicted", "measured")]
        counts = [row.get(kind) for kind in ("macs", "params")]
        table.add_row(
            row["label"],
            f"{score['value']:.4g} {score['unit']} {score['name']}",
            *("" if value is None else f"{value:.4f} ms" for value in milliseconds),
            *("" if value is None else count(value) for value in counts),
        )
    times = ", ".join(f"{step} {duration(s)}" for step, s in result["seconds"].items())
    return Group(table, f"time: {times}", f"report: {result['report']}")
