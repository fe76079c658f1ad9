"""``nas describe``: operations, shapes, MACs, parameters and latency of any network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table

from lut.cost import Precision
from nas.cli.options import (
    Device,
    Json,
    Keep,
    Minimum,
    Multiple,
    PrecisionOption,
    TableFile,
    limit_options,
)
from nas.cli.output import count, facts, output
from search_spaces import Network, Operation, UserError, limited, tied


def describe(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A reference network or space by name, a recipe, an architecture file, a run.",
        ),
    ],
    width: Annotated[float | None, typer.Option("--width", help="Width multiplier.")] = None,
    resolution: Annotated[int | None, typer.Option("--resolution", help="Pixels.")] = None,
    classes: Annotated[int | None, typer.Option("--classes", help="Outputs.")] = None,
    member: Annotated[
        int | None, typer.Option("--member", help="Of a search's family, from 0.")
    ] = None,
    keep: Keep = None,
    multiple: Multiple = None,
    minimum: Minimum = None,
    device: Device = None,
    table: TableFile = None,
    precision: PrecisionOption = None,
    json: Json = False,
) -> None:
    """Operations, shapes, MACs, parameters and latency per layer of a network, and what of its
    widths and kernels may change together."""
    from nas.runs.networks import find

    with output(json) as out:
        found = find(network, member=member, width=width, resolution=resolution, classes=classes)
        resolved = found.network
        free = limited(found.space, **limit_options(keep, multiple, minimum))
        layers = [_layer(operation) for operation in resolved.operations]
        data: dict[str, Any] = {
            "schema": 1,
            "network": network,
            "space": found.space.name,
            "macs": resolved.macs,
            "params": resolved.params,
            "peak_memory": _peak_memory(resolved, precision or "float32"),
            "resolution": resolved.resolution,
            "input_shape": list(resolved.input_shape),
            "classes": found.space.classes,
            "layers": layers,
            "groups": [{**asdict(group), "frozen": group.frozen} for group in tied(free)],
        }
        if device is not None or table is not None:
            from lut import open_cost_model

            model = open_cost_model(
                device, table, precision, space=found.space, operations=resolved.operations
            )
            for layer, operation in zip(layers, resolved.operations, strict=True):
                layer["latency_ms"] = model.cost(operation)
            data["latency_ms"] = sum(layer["latency_ms"] for layer in layers)
            data["device"] = {
                "name": model.device.name,
                "provenance": model.device.provenance,
                "precision": model.device.precision,
                "trust": model.device.trust,
                "table": model.identity,
            }
        out.result(data, lambda: _tables(data))


def _peak_memory(network: Network, precision: Precision) -> int | None:
    """Bytes; None without the runtime's schema."""
    from lut.tflite.memory import peak_memory

    try:
        return peak_memory(network, precision)
    except UserError:
        return None


def _layer(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.name,
        "type": operation.type,
        "input_shapes": [list(shape) for shape in operation.input_shapes],
        "output_shape": list(operation.output_shape),
        "kernel": list(operation.kernel),
        "stride": list(operation.stride),
        "padding": list(operation.padding),
        "groups": operation.groups,
        "activation": operation.activation,
        "macs": operation.macs,
        "params": operation.params,
    }


def _tables(data: dict[str, Any]) -> Group:
    timed = "latency_ms" in data
    table = Table()
    for name in ("layer", "type", "input", "output", "kernel", "MACs", "parameters"):
        table.add_column(name, justify="right" if name in ("MACs", "parameters") else "left")
    if timed:
        table.add_column("ms", justify="right")
    for layer in data["layers"]:
        height, width = layer["kernel"]
        kernel = f"{height}×{width}" + (f" /{layer['stride'][0]}" if layer["stride"][0] > 1 else "")
        row = [
            layer["name"],
            layer["type"] + (" dw" if 1 < layer["groups"] == layer["output_shape"][0] else ""),
            "×".join(str(n) for n in layer["input_shapes"][0]),
            "×".join(str(n) for n in layer["output_shape"]),
            kernel if layer["type"] in ("conv", "avg_pool", "max_pool") else "",
            count(layer["macs"]) if layer["macs"] else "",
            count(layer["params"]) if layer["params"] else "",
        ]
        table.add_row(*row, *([f"{layer['latency_ms']:.4f}"] if timed else []))
    rows = {
        "input": "×".join(str(n) for n in data["input_shape"]),
        "MACs": count(data["macs"]),
        "parameters": count(data["params"]),
    }
    if data["peak_memory"] is not None:
        rows["peak memory of its maps"] = f"{data['peak_memory'] / 1e3:.1f} kB"
    if timed:
        rows["latency"] = latency_text(data["latency_ms"], data["device"])
    return Group(table, _groups(data["groups"]), facts(str(data["network"]), rows))


def _groups(groups: Sequence[dict[str, Any]]) -> Table:
    """What may change, and the layers that change with it."""
    table = Table(title="what may change, together", title_justify="left")
    for name in ("choice", "values", "layers"):
        table.add_column(name)
    for group in groups:
        values = group["values"]
        shown = values if len(values) <= 6 else (*values[:3], "…", *values[-2:])
        text = ", ".join(str(v) for v in shown)
        layers = ", ".join(group["layers"])
        table.add_row(group["choice"], f"{text} (kept)" if group["frozen"] else text, layers)
    return table


def latency_text(milliseconds: float, device: dict[str, Any]) -> str:
    """A latency with where it comes from and how far it is trusted."""
    trust = f", ±{100 * device['trust']:.0f} %" if device["trust"] is not None else ""
    return f"{milliseconds:.3f} ms ({device['name']}: {device['provenance']}{trust})"
