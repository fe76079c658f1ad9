"""The commands, one file per group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from nas.cli import (
    benchmark,
    clean,
    compare,
    describe,
    export,
    lut,
    measure,
    quickstart,
    report,
    steps,
)
from nas.cli.examples import epilog

app = typer.Typer(
    name="nas",
    help="Find fast networks for a device: NetAdaptV2 and classic NetAdapt.",
    no_args_is_help=True,
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


COMMANDS: dict[str, Callable[..., None]] = {
    "quickstart": quickstart.quickstart,
    "train-supernet": steps.train_supernet,
    "search": steps.search,
    "train": steps.train,
    "run": steps.run,
    "compare": compare.compare,
    "evaluate": steps.evaluate,
    "describe": describe.describe,
    "export": export.export,
    "report": report.report,
    "benchmark": benchmark.benchmark,
    "clean": clean.clean,
}
LUT_COMMANDS: dict[str, Callable[..., None]] = {
    "build": measure.build,
    "validate": measure.validate,
    "query": lut.query,
    "fit": lut.fit,
    "import": lut.import_,
    "devices": lut.devices,
}

for _name, _command in COMMANDS.items():
    app.command(_name, epilog=epilog(_name))(_command)
for _name, _command in LUT_COMMANDS.items():
    lut.app.command(_name, epilog=epilog(f"lut {_name}"))(_command)
app.add_typer(lut.app, name="lut")
