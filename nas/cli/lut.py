"""``nas lut``: look-up tables and device models."""

from __future__ import annotations

import typer

app = typer.Typer(help="Latency tables: build, query, validate, import, fit.", no_args_is_help=True)


@app.callback()
def _lut() -> None:
    pass
