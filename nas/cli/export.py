"""``nas export``: deployable files of a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lut.cost import Precision
from nas.cli.options import Data, Json, Overrides, experiment_from
from nas.cli.output import facts, output


def export(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="A run, train/<name> folder or weights file.")
    ],
    format: Annotated[
        str, typer.Option("--format", help="pytorch, onnx, tflite, executorch or coreml.")
    ] = "tflite",
    precision: Annotated[
        Precision,
        typer.Option("--precision", help="float32, or int8 (calibrated on training images)."),
    ] = "float32",
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment", help="Recipe whose images int8 is calibrated with; default the run's."
        ),
    ] = None,
    overrides: Overrides = None,
    data: Data = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write.")] = None,
    json: Json = False,
) -> None:
    """Write a trained network as a file to deploy, with its metadata."""
    with output(json) as printer:
        recipe = None
        if precision == "int8":
            from nas.runs.folder import stored_config

            reference = experiment or str(stored_config(network))
            recipe = experiment_from(reference, overrides, data=data)
        from nas.steps.deploy import export_network

        found = export_network(
            network, format=format, out=out, precision=precision, experiment=recipe
        )
        printer.result(found, lambda: facts("exported", found))
