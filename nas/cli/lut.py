"""``nas lut``: look-up tables and device models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table

from nas.cli.describe import latency_text
from nas.cli.options import Device, Json, PrecisionOption, TableFile
from nas.cli.output import facts, output

app = typer.Typer(
    help="Latency tables and device models.", no_args_is_help=True, rich_markup_mode=None
)


def query(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A reference network by name, an architecture file, a run, or an operation's "
            "JSON file.",
        ),
    ],
    device: Device = None,
    table: TableFile = None,
    precision: PrecisionOption = None,
    layers: Annotated[bool, typer.Option("--layers", help="Each operation's own.")] = False,
    width: Annotated[float | None, typer.Option("--width", help="Width multiplier.")] = None,
    resolution: Annotated[int | None, typer.Option("--resolution", help="Pixels.")] = None,
    classes: Annotated[int | None, typer.Option("--classes", help="Outputs.")] = None,
    json: Json = False,
) -> None:
    """The latency of a network or an operation, summed from a table or a device model."""
    with output(json) as out:
        from lut import open_cost_model
        from nas.runs.networks import operations_of

        operations = operations_of(network, width=width, resolution=resolution, classes=classes)
        model = open_cost_model(device, table, precision, operations=operations)
        entries = [
            {"name": o.name, "type": o.type, "latency_ms": model.cost(o)} for o in operations
        ]
        info = model.device
        extrapolates = getattr(model, "extrapolates", lambda operation: None)
        notes = sorted({note for o in operations if (note := extrapolates(o))})
        data: dict[str, Any] = {
            "schema": 1,
            "network": network,
            "latency_ms": sum(e["latency_ms"] for e in entries),
            "device": {
                "name": info.name,
                "description": info.description,
                "provenance": info.provenance,
                "precision": info.precision,
                "trust": info.trust,
                "table": model.identity,
            },
            "extrapolated": notes,
            "layers": entries if layers else [],
        }
        for note in notes:
            out.warn(f"extrapolated: {note}")
        out.result(data, lambda: _query(data))


def _query(data: dict[str, Any]) -> Group:
    summary = facts(data["network"], {"latency": latency_text(data["latency_ms"], data["device"])})
    if not data["layers"]:
        return Group(summary)
    table = Table()
    table.add_column("operation")
    table.add_column("type")
    table.add_column("ms", justify="right")
    for entry in data["layers"]:
        table.add_row(entry["name"], entry["type"], f"{entry['latency_ms']:.4f}")
    return Group(table, summary)


def fit(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="See nas lut devices.")],
    measurements: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Measurement files, or their folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The model's file; default DEVICE.json.")
    ] = None,
    json: Json = False,
) -> None:
    """Fit a device model to measured blocks or networks, and cross-validate it."""
    with output(json) as printer:
        from lut.fit import fit_device

        model = fit_device(device, measurements[0] if len(measurements) == 1 else measurements)
        path = out or Path(f"{device}.json")
        model.save(path)
        data = {
            "schema": 1,
            "device": device,
            "file": str(path),
            "trust": model.device.trust,
            "provenance": dict(model.provenance),
        }
        printer.result(data, lambda: _fitted(data))


def _fitted(data: dict[str, Any]) -> Group:
    errors = data["provenance"].get("errors", {})
    table = Table(title="error on what was kept out of the fit", title_justify="left")
    table.add_column("kept out")
    columns = list(next(iter(errors.values()), {}))
    for name in columns:
        table.add_column(name, justify="right")
    for name, values in errors.items():
        # a rank correlation needs three measurements
        cells = ("–" if values[c] is None else f"{values[c]:.4g}" for c in columns)
        table.add_row(name, *cells)
    return Group(table, facts(data["device"], {"file": data["file"]}))


def import_(
    format: Annotated[
        str, typer.Argument(metavar="FORMAT", help="netadapt, nn-meter or once-for-all.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The other project's table.")],
    name: Annotated[str, typer.Option("--name", help="How the device is to be called.")],
    description: Annotated[
        str, typer.Option("--description", help="The device in words: model, core, conditions.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="The table's file; default NAME.json.")
    ] = None,
    json: Json = False,
) -> None:
    """Read a latency table of another project."""
    with output(json) as printer:
        from lut.importers import import_table, imported_device

        table = import_table(format, file, imported_device(name, description))
        path = out or Path(f"{name}.json")
        table.save(path)
        blocks = getattr(table, "blocks", None)
        free = sorted(getattr(table, "free", ()))
        if free:
            printer.warn(f"counted as nothing, as {format} does: {', '.join(free)}")
        data = {
            "schema": 1,
            "file": str(path),
            "device": name,
            "kind": "operations" if blocks is None else "blocks",
            "entries": len(table if blocks is None else blocks),  # type: ignore[arg-type]
            "free": free,
        }
        printer.result(data, lambda: facts("imported", data))


def devices(json: Json = False) -> None:
    """The devices whose latency is known, fitted or measured, and how far it is trusted."""
    with output(json) as printer:
        from lut.cache import cache_folder, cached_tables
        from lut.fit import fitted_names, load_fitted

        known = [asdict(load_fitted(name).device) for name in fitted_names()]
        known += [asdict(table.device) for _, table in cached_tables()]
        folder = cache_folder() / "tables"
        data = {"schema": 1, "devices": known, "cache": str(folder)}
        printer.say(f"measured tables are kept in {folder}; NAS_CACHE moves it")
        printer.result(data, lambda: _devices(known))


def _devices(known: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("device", "what it is", "runtime", "precision", "provenance", "error"):
        table.add_column(name)
    for device in known:
        table.add_row(
            device["name"],
            f"{device['description']}, {device['cores']}",
            f"{device['runtime']} {device['runtime_version']}",
            device["precision"],
            device["provenance"],
            "" if device["trust"] is None else f"±{100 * device['trust']:.0f} %",
        )
    return table
