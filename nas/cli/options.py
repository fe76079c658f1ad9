"""Arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lut.cost import Precision
from nas.recipe.experiment import Experiment
from nas.recipe.loading import load_experiment, parse_experiment, recipes
from search_spaces import UserError

ExperimentArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="A recipe's YAML file, or its name.",
        autocompletion=lambda incomplete: [n for n in recipes() if n.startswith(incomplete)],
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a field of the recipe."),
]
Data = Annotated[Path | None, typer.Option("--data", help="Where the data is (task.data).")]
Seed = Annotated[int | None, typer.Option("--seed", help="Overrides the recipe's seed.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<experiment>.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted step.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would run and its size, and run nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[
    str | None,
    typer.Option("--device", help="Whose latency: host or a name from nas lut devices."),
]
TableFile = Annotated[Path | None, typer.Option("--table", help="A latency table file.")]
PrecisionOption = Annotated[
    Precision | None, typer.Option("--precision", help="float32 or int8.", show_default=False)
]

Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="NAME",
        help="A choice, unit or layer, or a pattern (stage1.*), that is not changed; repeatable.",
    ),
]
Multiple = Annotated[
    int | None, typer.Option("--multiple", metavar="N", help="Widths are multiples of it.")
]
Minimum = Annotated[
    list[str] | None,
    typer.Option(
        "--minimum",
        metavar="[NAME=]N",
        help="Least width: filters, or a share of the largest; of all, or of a name or pattern.",
    ),
]

NULL = object()
"""An option that sets a field to nothing; None is an option that was not given."""


def experiment_from(
    reference: str,
    overrides: list[str] | None = None,
    *,
    data: Path | None = None,
    seed: int | None = None,
    search: dict[str, object] | None = None,
    network: str | None = None,
    limits: dict[str, Any] | None = None,
) -> Experiment:
    """The recipe with the overrides and options of a command; options win.

    A network takes the place of the recipe's space and has its input and classes. ``limits`` are
    those of `limit_options`; what the recipe keeps is kept too.

    Raises:
        UserError: as `load_experiment`.
    """
    experiment = load_experiment(reference, overrides or [])
    values = experiment.to_dict()
    if network is not None:
        own = experiment.search_space()
        values["space"] = {
            "name": network,
            "settings": {
                "resolution": own.resolution,
                "channels": own.input_channels,
                "classes": own.classes,
            },
        }
    for key, value in (limits or {}).items():
        values["space"][key] = [*values["space"].get(key, []), *value] if key == "keep" else value
    if seed is not None:
        values["seed"] = seed
    if data is not None:
        values["task"]["data"] = str(data)
    given = {k: v for k, v in (search or {}).items() if v is not None}
    values["search"].update({k: None if v is NULL else v for k, v in given.items()})
    return parse_experiment(values, where=reference, base=experiment)


def limit_options(
    keep: list[str] | None, multiple: int | None, minimum: list[str] | None
) -> dict[str, Any]:
    """What ``--keep``, ``--multiple`` and ``--minimum`` say, as arguments of `limited`.

    Raises:
        UserError: a minimum that is no number.
    """
    found: dict[str, Any] = {} if keep is None else {"keep": keep}
    if multiple is not None:
        found["multiple"] = multiple
    if minimum is not None:
        least = {}
        for text in minimum:
            name, equals, value = text.rpartition("=")
            try:
                least[name if equals else "*"] = float(value)
            except ValueError:
                raise UserError(f"--minimum {text}: expected N or NAME=N") from None
        found["minimum"] = least
    return found
