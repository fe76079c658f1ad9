"""Variations of a recipe over seeds, as one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nas.cli.options import Json
from nas.cli.output import count, output
from nas.progress import duration

if TYPE_CHECKING:
    from nas.steps.comparison import ComparisonResult


def compare(
    comparison: Annotated[
        str, typer.Argument(metavar="FILE", help="A comparison's YAML file, or a shipped name.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the runs lie; default runs/<comparison>.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Where the data is (task.data).")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="For all variations."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Steps at once.")] = 1,
    devices: Annotated[
        str, typer.Option("--devices", help="CUDA devices that steps are spread over: 0,1.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Run variations of a recipe over seeds as one table; started again it goes on."""
    with output(json) as printer:
        from nas.recipe.comparison import load_comparison
        from nas.steps.comparison import compare as run
        from nas.steps.comparison.plan import plan, steps

        found = load_comparison(comparison)
        extra = [*(overrides or []), *([] if data is None else [f"task.data={data.resolve()}"])]
        found = found.model_copy(update={"set": [*found.set, *extra]})
        folder = out or Path("runs") / found.name
        if dry_run:
            todo = steps(plan(found, folder)).values()
            lines = [f"{'done' if s.finished else 'to do'}  {s.says}" for s in todo]
            printer.result({"schema": 1, "steps": lines}, lambda: "\n".join(lines))
            return
        chosen = [name for name in devices.split(",") if name]
        result = run(found, folder, jobs=jobs, devices=chosen, reporter=printer)
        printer.result(result.to_dict(), lambda: _table(result))


def _table(result: ComparisonResult) -> Table:
    """The rows, for people."""
    made = Table(title=result.description or result.name, title_justify="left")
    made.add_column("")
    for name in (result.score, "difference", result.cost, "MACs", "evaluations", "device time"):
        made.add_column(name, justify="right")
    for row in result.rows:
        made.add_row(
            row.label,
            _with(row.mean, row.spread, "{:.2f}"),
            "" if row.interval is None else _with(row.difference, row.interval, "{:+.2f}"),
            "–" if row.cost is None else f"{row.cost:.4g}",
            "–" if row.macs is None else count(row.macs),
            "–" if row.evaluations is None else f"{row.evaluations:.0f}",
            duration(sum(row.seconds.values())),
        )
    return made


def _with(value: float | None, spread: float | None, style: str) -> str:
    if value is None:
        return "–"
    return style.format(value) + ("" if spread is None else f" ± {spread:.2f}")
