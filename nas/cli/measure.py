"""``nas lut build`` and ``nas lut validate``: tables from a device, and checking them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table

from nas.cli.options import Json, PrecisionOption, TableFile
from nas.cli.output import facts, output
from search_spaces import UserError

if TYPE_CHECKING:
    from lut.devices import MeasuringDevice

Measured = Annotated[
    str, typer.Option("--device", help="Where to measure: host, or android for a phone over adb.")
]
Serial = Annotated[str | None, typer.Option("--serial", help="Which phone, as adb lists it.")]
Binary = Annotated[
    Path | None,
    typer.Option("--benchmark-binary", help="LiteRT's benchmark_model for the phone."),
]
Core = Annotated[int | None, typer.Option("--core", help="The phone's core; default the fastest.")]
Delegate = Annotated[str, typer.Option("--delegate", help="On a phone: xnnpack or gpu.")]


def _device(
    name: str, serial: str | None, binary: Path | None, core: int | None, delegate: str
) -> MeasuringDevice:
    if name == "host":
        from lut.devices.host import HostDevice

        return HostDevice()
    if name != "android":
        raise UserError(f"--device {name}: measure on host or android")
    if binary is None:
        raise UserError(
            "--device android needs --benchmark-binary FILE, LiteRT's benchmark_model built for "
            "the phone; docs/android.md says where to get it"
        )
    if delegate not in ("xnnpack", "gpu"):
        raise UserError(f"--delegate {delegate}: xnnpack or gpu")
    from lut.cache import cache_folder
    from lut.devices.android import AndroidDevice

    return AndroidDevice(
        binary,
        serial=serial,
        core=core,
        delegate="gpu" if delegate == "gpu" else "xnnpack",
        best_file=cache_folder() / "android-reference.json",
    )


def build(
    experiments: Annotated[
        list[str],
        typer.Argument(metavar="EXPERIMENT...", help="Recipes or search spaces to cover."),
    ],
    device: Measured = "host",
    serial: Serial = None,
    benchmark_binary: Binary = None,
    core: Core = None,
    delegate: Delegate = "xnnpack",
    precision: PrecisionOption = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again what the cache holds.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the table to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure a latency table for search spaces on this machine or on a phone.

    The table is kept in the cache and grows; an interrupted build goes on with the same command.
    """
    with output(json) as printer:
        from lut.cache import cache_folder
        from nas.steps.tables import measured_table, space_named

        spaces = [space_named(name) for name in experiments]
        target = _device(device, serial, benchmark_binary, core, delegate)
        table = measured_table(
            spaces, target, precision=precision or "float32", fresh=fresh, reporter=printer
        )
        if out is not None:
            table.save(out)
        data = {
            "schema": 1,
            "device": asdict(table.device),
            "entries": len(table),
            "unsteadiness": table.unsteadiness,
            "table": table.identity,
            "cache": str(cache_folder() / "tables"),
            "file": None if out is None else str(out),
        }
        flat = {k: v for k, v in data.items() if k not in ("schema", "device")}
        flat["unsteadiness"] = f"{100 * table.unsteadiness:.0f} %"
        printer.result(data, lambda: facts(f"table of {table.device.name}", flat))


def validate(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUBJECT]", help="A search's folder (its family), a recipe or a space."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="host, android, or a name from nas lut devices.")
    ] = "host",
    table: TableFile = None,
    measurements: Annotated[
        Path | None,
        typer.Option("--measurements", help="A file of measured networks or blocks instead."),
    ] = None,
    networks: Annotated[int, typer.Option("--networks", help="How many to measure.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of random networks.")] = 0,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the scatter plot (.png, .svg, .pdf).")
    ] = None,
    serial: Serial = None,
    benchmark_binary: Binary = None,
    core: Core = None,
    delegate: Delegate = "xnnpack",
    precision: PrecisionOption = None,
    json: Json = False,
) -> None:
    """Compare sums of look-ups with the latency of whole networks."""
    with output(json) as printer:
        from lut import open_cost_model
        from nas.steps.tables import check_on_device, check_on_measurements

        if (subject is None) == (measurements is None):
            raise UserError("give either SUBJECT, networks to measure, or --measurements FILE")
        if measurements is not None:
            model = open_cost_model(device, table, precision)
            result = check_on_measurements(measurements, model)
        else:
            target = _device(device, serial, benchmark_binary, core, delegate)
            assert subject is not None
            model, result = check_on_device(
                subject,
                target,
                table=table,
                precision=precision,
                count=networks,
                seed=seed,
                reporter=printer,
            )
        if plot is not None:
            from nas.report.figures import latency_scatter

            latency_scatter(result, model.device.name).savefig(plot)
        data = {"schema": 1, "device": model.device.name, **result.to_dict()}
        printer.result(data, lambda: _validated(data))


def _validated(data: dict[str, Any]) -> Group:
    worst = Table(title="largest errors", title_justify="left")
    worst.add_column("network")
    worst.add_column("error", justify="right")
    for entry in data["worst"]:
        worst.add_row(entry["name"], f"{100 * entry['error']:+.1f} %")
    kinds = Table(title="operations that go with the error", title_justify="left")
    for column in ("operation", "share", "correlation"):
        kinds.add_column(column)
    for entry in data["by_operation"][:5]:
        kinds.add_row(
            entry["kind"], f"{100 * entry['share']:.1f} %", f"{entry['correlation']:+.2f}"
        )
    summary = {"networks": data["networks"], "Spearman": f"{data['spearman']:.4f}"}
    for name in ("median_error", "mean_error", "p90_error", "bias"):
        summary[name.replace("_", " ")] = f"{100 * data[name]:.1f} %"
    return Group(worst, kinds, facts(f"predicted against measured on {data['device']}", summary))
