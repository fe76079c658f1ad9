"""``nas quickstart``: the whole road on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table

from nas.cli.options import DryRun, Json, Out, Overrides, Seed
from nas.cli.output import count, output
from nas.progress import duration
from nas.runs.folder import RunFolder, default_out

if TYPE_CHECKING:
    from nas.runs.results import QuickstartResult


def quickstart(
    task: Annotated[str, typer.Option("--task", help="digits, depth or segmentation.")] = "digits",
    overrides: Overrides = None,
    seed: Seed = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", hidden=True)] = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """All three steps on real images and this machine's own latency, in minutes.

    Started again it goes on where it was stopped.
    """
    with output(json) as printer:
        if dry_run:
            from nas.cli.steps import show_plan
            from nas.steps.quickstart import LABELS, recipe_of

            recipe = recipe_of(task, overrides or [], seed)
            show_plan(printer, recipe, out, trainings=list(LABELS), resume=resume)
            return
        from nas.steps.quickstart import quickstart as run

        result = run(task=task, overrides=overrides or [], seed=seed, out=out, reporter=printer)
        folder = RunFolder(out or default_out(result.experiment))
        data = {**result.to_dict(), "report": str(folder.report)}
        printer.result(data, lambda: _summary(result, folder))


def _summary(result: QuickstartResult, folder: RunFolder) -> Group:
    table = Table(title=f"{result.experiment}, test split", title_justify="left")
    table.add_column("network")
    for name in ("score", "predicted", "measured", "MACs", "parameters"):
        table.add_column(name, justify="right")
    for row in result.comparison:
        # a reference that needs no network has only a score
        milliseconds = (row.latency_predicted_ms, row.latency_measured_ms)
        table.add_row(
            row.label,
            "" if row.score is None else f"{row.score.value:.4g} {row.score.unit} {row.score.name}",
            *("" if value is None else f"{value:.4f} ms" for value in milliseconds),
            *("" if value is None else count(value) for value in (row.macs, row.params)),
        )
    times = ", ".join(f"{step} {duration(s)}" for step, s in result.seconds.items())
    return Group(table, f"time: {times}", f"report: {folder.report}")
