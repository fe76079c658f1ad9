"""The commands, one file per group."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli import benchmark, compare, describe, export, lut, measure, quickstart, report, steps

app = typer.Typer(
    name="nas",
    help="Find fast networks for a device: NetAdaptV2 and classic NetAdapt.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"nas {version('netadapt')}")
        raise typer.Exit


@app.callback()
def _nas(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("quickstart")(quickstart.quickstart)
app.command("train-supernet")(steps.train_supernet)
app.command("search")(steps.search)
app.command("train")(steps.train)
app.command("run")(steps.run)
app.command("compare")(compare.compare)
app.command("evaluate")(steps.evaluate)
app.command("describe")(describe.describe)
app.command("export")(export.export)
app.command("report")(report.report)
lut.app.command("build")(measure.build)
lut.app.command("validate")(measure.validate)
app.add_typer(lut.app, name="lut")
app.command("benchmark")(benchmark.benchmark)
