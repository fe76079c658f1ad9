"""``nas clean``: the disk that runs take, and what of it can go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from nas.cli.options import Json
from nas.cli.output import file_size, output
from nas.runs.disk import Usage, remove, usage_of_cache, usage_of_run

RUNS = Path("runs")


def clean(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN...]", help="Run folders; default all below runs/."),
    ] = None,
    cache: Annotated[
        bool,
        typer.Option("--cache", help="Measured tables too, which are then measured again."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only show it.")] = False,
    json: Json = False,
) -> None:
    """The disk that runs take, and removing what no step reads again.

    That is checkpoints of finished steps, candidates of finished searches and half-written files
    of killed processes. Weights, results and interrupted steps stay.
    """
    with output(json) as printer:
        folders = runs or (sorted(p for p in RUNS.iterdir() if p.is_dir()) if RUNS.is_dir() else [])
        found = []
        for folder in folders:
            if runs or any(folder.rglob("config.yaml")):
                found.append(usage_of_run(folder))
        tables = usage_of_cache()
        going = [*found, *([tables] if cache else [])]
        if yes:
            for usage in going:
                remove(usage.removable)
        data = {
            "schema": 1,
            "removed": yes,
            "freed": sum(usage.freed for usage in going),
            "runs": [_data(usage) for usage in found],
            "cache": _data(tables),
        }
        printer.result(data, lambda: _table(found, tables, going, removed=yes))


def _data(usage: Usage) -> dict[str, object]:
    removable = [str(path) for path in usage.removable]
    return {
        "path": str(usage.path),
        "bytes": usage.size,
        "removable": removable,
        "removable_bytes": usage.freed,
    }


def _table(found: list[Usage], tables: Usage, going: list[Usage], *, removed: bool) -> Table:
    total = file_size(sum(usage.freed for usage in going))
    words = f"{total} removed" if removed else f"{total} can go: nas clean --yes"
    made = Table(caption=words, caption_justify="left", title_justify="left")
    made.add_column("folder", overflow="fold")
    for name in ("size", "removed" if removed else "can go"):
        made.add_column(name, justify="right")
    made.add_column("what", overflow="fold")
    for usage in found:
        names = [str(path.relative_to(usage.path)) for path in usage.removable]
        made.add_row(
            str(usage.path), file_size(usage.size), file_size(usage.freed), ", ".join(names)
        )
    cached = tables in going
    made.add_row(
        str(tables.path),
        file_size(tables.size),
        file_size(tables.freed if cached else 0),
        "measured tables" if cached else "measured tables: --cache",
    )
    return made
