"""The three steps, alone and in turn, and the score of any network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import (
    NULL,
    Data,
    Device,
    DryRun,
    ExperimentArgument,
    Json,
    Keep,
    Minimum,
    Multiple,
    Out,
    Overrides,
    PrecisionOption,
    Resume,
    Seed,
    TableFile,
    experiment_from,
    limit_options,
)
from nas.cli.output import Output, facts, output, score_text
from nas.cli.tables import family_table, plan_table, run_table, supernet_table, training_table
from nas.recipe.experiment import Experiment
from nas.runs.folder import SEARCH, TRAINING, RunFolder, default_out
from search_spaces import UserError

SupernetPath = Annotated[
    Path | None,
    typer.Option(
        "--supernet",
        help="Weights or folder of a super-network or trained network; default the run's own.",
    ),
]


def train_supernet(
    experiment: ExperimentArgument,
    overrides: Overrides = None,
    keep: Keep = None,
    multiple: Multiple = None,
    minimum: Minimum = None,
    data: Data = None,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Step 1: train the super-network."""
    with output(json) as printer:
        limits = limit_options(keep, multiple, minimum)
        recipe = experiment_from(experiment, overrides, data=data, seed=seed, limits=limits)
        if dry_run:
            show_plan(printer, recipe, out, ["supernet"], resume=resume)
            return
        from nas.steps import train_supernet as step

        result = step(recipe, out or default_out(recipe.name), resume=resume, reporter=printer)
        printer.result(result.to_dict(), lambda: supernet_table(result))


def search(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="[EXPERIMENT]", help="A recipe; not needed with --worker."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="Descended: latency, macs, params, peak_memory, phones or one of the recipe's.",
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            help="30ms, 220M or 50% of the metric; further ones as params=5M, "
            "latency@pixel6-cpu=12ms.",
        ),
    ] = None,
    device: Device = None,
    table: TableFile = None,
    precision: PrecisionOption = None,
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", help="guided, mcd, netadapt, random, nsga2 or tpe.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            help="A trained network in place of the recipe's space: timm:NAME, FILE.py:FUNCTION "
            "or MODULE:FUNCTION.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="Of the network that is fine-tuned: pretrained, or a checkpoint file.",
        ),
    ] = None,
    supernet: SupernetPath = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the search; default main.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes on this machine.")
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Join the search of --study as one more worker.")
    ] = False,
    study: Annotated[
        str | None, typer.Option("--study", help="URL of the study's database.")
    ] = None,
    overrides: Overrides = None,
    keep: Keep = None,
    multiple: Multiple = None,
    minimum: Minimum = None,
    data: Data = None,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Step 2: search for the best network within budgets."""
    with output(json) as printer:
        if worker:
            if study is None:
                raise UserError("--worker needs --study URL, the database of the search to join")
            from nas.steps import join

            joined = join(study, name=name, reporter=printer)
            printer.result(joined, lambda: facts("worker", joined))
            return
        if experiment is None:
            raise UserError("nas search needs an EXPERIMENT: a recipe's file or name")
        recipe = experiment_from(
            experiment,
            overrides,
            data=data,
            seed=seed,
            search=search_options(metric, budget, device, table, optimizer)
            | {"workers": workers, "storage": study, "weights": weights, "precision": precision},
            network=network,
            limits=limit_options(keep, multiple, minimum),
        )
        if dry_run:
            show_plan(printer, recipe, out, ["search"], search=name or SEARCH, resume=resume)
            return
        from nas.steps.search import search as step

        result = step(
            recipe,
            out or default_out(recipe.name),
            name=name or SEARCH,
            supernet=supernet,
            resume=resume,
            reporter=printer,
        )
        printer.result(result.to_dict(), lambda: family_table(result))


def search_options(
    metric: str | None,
    budgets: list[str] | None,
    device: str | None,
    table: Path | None,
    optimizer: str | None,
) -> dict[str, object]:
    """The options of a search as fields of the recipe's section."""
    if device is not None and table is not None:
        raise UserError("--device and --table exclude each other")
    fields: dict[str, object] = {"metric": metric, "optimizer": optimizer}
    if device is not None or table is not None:
        # one replaces the other; None in a recipe is written null
        fields |= {"device": device or NULL, "table": NULL if table is None else str(table)}
    # a budget without a metric's name is that of the descended metric
    own = [text for text in budgets or [] if "=" not in text]
    if len(own) > 1:
        raise UserError(f"--budget {own[1]}: a second budget needs the name of its metric")
    if own:
        fields["budget"] = own[0]
    constraints = [text for text in budgets or [] if "=" in text]
    if constraints:
        fields["constraints"] = constraints
    return fields


def train(
    experiment: ExperimentArgument,
    architecture: Annotated[
        Path | None,
        typer.Option("--architecture", help="An architecture file or a search's result.json."),
    ] = None,
    member: Annotated[
        int | None, typer.Option("--member", help="Of the search's family, from 0; default best.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="Train in its place a network of the same cost: scaled, "
            "scaled-smallest-kernels or pruned.",
        ),
    ] = None,
    supernet: SupernetPath = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the training; default discovered, or the baseline's."),
    ] = None,
    overrides: Overrides = None,
    data: Data = None,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Step 3: train one network until convergence and score it on the test split."""
    with output(json) as printer:
        recipe = experiment_from(experiment, overrides, data=data, seed=seed)
        folder = out or default_out(recipe.name)
        from nas.runs.networks import load_chosen

        path = architecture or _only_search(folder)
        if baseline is not None and not dry_run:
            from nas.steps import train_baseline

            result = train_baseline(
                recipe,
                baseline,
                path,
                folder,
                member=member,
                name=name,
                supernet=supernet,
                resume=resume,
                reporter=printer,
            )
            printer.result(result.to_dict(), lambda: training_table(result))
            return
        found, role = load_chosen(path, member=member)
        if dry_run:
            if baseline is not None:
                from nas.steps.matching import baseline_kind

                baseline_kind(baseline)
            show_plan(
                printer,
                recipe,
                out,
                ["train"],
                trainings=[name or baseline or TRAINING],
                # a baseline follows from the networks' costs, which may have to be measured
                architecture=found if baseline is None else None,
                resume=resume,
            )
            return
        from nas.steps import Purpose, train_network
        from nas.steps.start import member_weights

        result = train_network(
            recipe,
            found,
            folder,
            name=name or TRAINING,
            purpose=None if role == "other" else Purpose(role),
            supernet=supernet or member_weights(path, found),
            resume=resume,
            reporter=printer,
        )
        printer.result(result.to_dict(), lambda: training_table(result))


def _only_search(folder: Path) -> Path:
    run = RunFolder(folder)
    finished = [step.result for step in run.searches if step.result.is_file()]
    found = [run.search().result] if run.search().result in finished else finished
    if len(found) == 1:
        return found[0]
    which = ", ".join(str(f) for f in found) if found else "no search is finished"
    raise UserError(f"{folder}: give --architecture FILE ({which})")


def run(
    experiment: ExperimentArgument,
    overrides: Overrides = None,
    keep: Keep = None,
    multiple: Multiple = None,
    minimum: Minimum = None,
    data: Data = None,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """The three steps in turn."""
    with output(json) as printer:
        limits = limit_options(keep, multiple, minimum)
        recipe = experiment_from(experiment, overrides, data=data, seed=seed, limits=limits)
        if dry_run:
            show_plan(printer, recipe, out, resume=resume)
            return
        from nas.steps.run import run as steps

        result = steps(recipe, out or default_out(recipe.name), resume=resume, reporter=printer)
        printer.result(result.to_dict(), lambda: run_table(result))


def evaluate(
    network: Annotated[
        Path,
        typer.Argument(
            metavar="NETWORK",
            help="A run, train/<name> folder, weights file or exported .tflite file.",
        ),
    ],
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="[EXPERIMENT]", help="Recipe of the task; default the run's own."),
    ] = None,
    named: Annotated[
        str | None, typer.Option("--experiment", help="The same as an option.")
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", help="A photograph instead of the task's data."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Where a map is drawn; default beside the photograph."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="test or holdout.")] = "test",
    overrides: Overrides = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """The score of a trained network, or what it makes of one photograph."""
    with output(json) as printer:
        if image is not None:
            from nas.steps.prediction import predict

            found = predict(network, image, picture)
            printer.result(found, lambda: facts(str(image), found["outputs"]))
            return
        if picture is not None:
            raise UserError("--picture needs --image, the photograph to draw")
        from nas.runs.folder import stored_config

        if experiment is not None and named is not None:
            raise UserError("EXPERIMENT and --experiment are the same; give one")
        reference = experiment or named or str(stored_config(network))
        recipe = experiment_from(reference, overrides, data=data)
        from nas.steps import evaluate_network

        result = evaluate_network(recipe, network, split=split)
        rows = {"score": score_text(result.score)}
        if result.bytes is not None:
            rows |= {"precision": result.precision, "size": f"{result.bytes / 1000:.1f} kB"}
        printer.result(result.to_dict(), lambda: facts(str(network), rows))


def show_plan(
    printer: Output, recipe: Experiment, out: Path | None, *steps: Sequence[str], **further: Any
) -> None:
    """Print what a command would run; arguments as `nas.steps.preview.preview`."""
    from nas.steps.preview import preview

    found = preview(recipe, out or default_out(recipe.name), *steps, **further)
    data = {"schema": 1, "experiment": recipe.name, "steps": [step.to_dict() for step in found]}
    printer.result(data, lambda: plan_table(data))
