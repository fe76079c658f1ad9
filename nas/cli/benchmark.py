"""``nas benchmark``: the measurements that the project's claims rest on."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from nas.cli.options import Json
from nas.cli.output import facts, output
from search_spaces import UserError


def benchmark(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which; see nas benchmark list.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="A setting of the benchmark."),
    ] = None,
    json: Json = False,
) -> None:
    """Run a measurement on this machine; ``list`` names them."""
    from nas.benchmarks import BENCHMARKS, run

    with output(json) as out:
        if name == "list":
            out.result({"schema": 1, "benchmarks": sorted(BENCHMARKS)}, lambda: _names(BENCHMARKS))
            return
        data = run(name, _options(option or []))
        out.result(data, lambda: facts(name, _flat(data)))


def _names(benchmarks: dict[str, str]) -> str:
    return "\n".join(sorted(benchmarks))


def _options(texts: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text}: expected KEY=VALUE")
        try:
            options[key.replace("-", "_")] = json_module.loads(value)
        except ValueError:
            options[key.replace("-", "_")] = value
    return options


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            simple = {k: v for k, v in value.items() if not isinstance(v, dict | list)}
            rows |= {f"{key}.{k}": v for k, v in simple.items()}
        elif not isinstance(value, list):
            rows[key] = value
    return rows
