"""``nas export``: deployable files of a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json
from nas.cli.output import facts, output


def export(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="A run, train/<name> folder or weights file.")
    ],
    format: Annotated[str, typer.Option("--format", help="pytorch, onnx or tflite.")] = "tflite",
    out: Annotated[Path | None, typer.Option("--out", help="The file to write.")] = None,
    json: Json = False,
) -> None:
    """Write a trained network as a PyTorch, ONNX or TFLite file with its metadata."""
    with output(json) as printer:
        from nas.steps.deploy import export_network

        data = export_network(network, format=format, out=out)
        printer.result(data, lambda: facts("exported", data))
