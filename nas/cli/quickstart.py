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
        from nas.quickstart import quickstart as run

        result = run(task=task, overrides=overrides or [], seed=seed, out=out, reporter=printer)
        printer.result(result, lambda: _summary(result))


def _summary(result: dict[str, Any]) -> Group:
    table = Table(title=f"{result['experiment']}, test split", title_justify="left")
    table.add_column("network")
    for name in ("score", "predicted", "measured", "MACs", "parameters"):
        table.add_column(name, justify="right")
    for row in result["comparison"]:
        score = row["score"]
        measured = row["latency_measured_ms"]
        table.add_row(
            row["label"],
            f"{score['value']:.4g} {score['unit']}",
            f"{row['latency_predicted_ms']:.4f} ms",
            "" if measured is None else f"{measured:.4f} ms",
            count(row["macs"]),
            count(row["params"]),
        )
    times = ", ".join(f"{step} {duration(s)}" for step, s in result["seconds"].items())
    return Group(table, f"time: {times}", f"report: {result['report']}")
