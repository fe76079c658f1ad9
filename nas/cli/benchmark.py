"""``nas benchmark``: the measurements that the project's claims rest on."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer
import yaml

from nas.cli.options import Json
from nas.cli.output import facts, output
from nas.recipe.loading import read_yaml
from search_spaces import UserError


def benchmark(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which; see nas benchmark list.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="A setting of the benchmark."),
    ] = None,
    json: Json = False,
) -> None:
    """Run a measurement on this machine; ``list`` shows them and their options."""
    from nas.benchmarks import BENCHMARKS, described, run

    with output(json) as out:
        if name == "list":
            found = [described(each) for each in sorted(BENCHMARKS)]
            out.result({"schema": 1, "benchmarks": found}, lambda: _listed(found))
            return
        data = run(name, _options(option or []))
        out.result(data, lambda: facts(name, _flat(data)))


def _listed(benchmarks: list[dict[str, Any]]) -> str:
    """Name, what is measured, and the options with their defaults."""
    lines = []
    for found in benchmarks:
        options = " ".join(f"{k}={_shown(v)}" for k, v in found["options"].items())
        lines += [found["name"], *(f"  {line}" for line in (found["measures"], options) if line)]
    return "\n".join(lines)


def _shown(default: Any) -> str:
    return default if isinstance(default, str) else json_module.dumps(default)


def _options(texts: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text}: expected KEY=VALUE")
        try:
            options[key.replace("-", "_")] = read_yaml(value)
        except yaml.YAMLError:
            raise UserError(f"--option {text}: the value is not YAML") from None
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
