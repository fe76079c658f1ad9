"""All three steps on this machine, with the two networks that a result has to be held against."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from lut.cost import CostModel
from lut.devices.host import HostDevice
from lut.validate import fastest
from nas.export import export
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment
from nas.recipe.loading import load_experiment, recipes, with_overrides
from nas.report import write_report
from nas.runs.folder import RunFolder, StepFolder, default_out
from nas.runs.networks import load_architecture
from nas.runs.results import (
    Compared,
    Layer,
    QuickstartResult,
    Role,
    SearchResult,
    SupernetResult,
    TrainResult,
    load_result,
)
from nas.runs.weights import load_network
from nas.steps import choose_baseline, train_chosen, train_network, train_supernet
from nas.steps.common import encoder_seconds
from nas.steps.deploy import metadata_of
from nas.steps.headstart import head_start
from nas.steps.matching import without_bypass
from nas.steps.network import Purpose
from nas.steps.search import search
from nas.steps.tables import measured_table
from search_spaces import SearchSpace, space_of, unknown

SUFFIX = "_quickstart"

LABELS: dict[Role, str] = {
    "largest": "Largest",
    "scaled": "Uniformly scaled",
    "discovered": "Discovered",
}
"""The rows of the comparison: role, which is also the name of the training, and label."""


def quickstart(
    *,
    task: str = "digits",
    overrides: Sequence[str] = (),
    seed: int | None = None,
    out: Path | None = None,
    reporter: Reporter = SILENT,
) -> QuickstartResult:
    """Measure a table, train a super-network, search, train and export; then compare.

    The discovered network stands beside the largest one and the uniformly scaled one whose
    measured latency is closest, all trained in the same way. What is finished already in the run
    folder is kept, so the same command goes on after an interruption.

    Args:
        task: ``digits``, or another with a recipe ``<task>_quickstart``.
        overrides: of the recipe, ``section.key=value``.
        seed: overrides the recipe's.
        out: the run folder; ``runs/<recipe>`` by default.
        reporter: shows progress.

    Returns:
        What the run's ``result.json`` holds; the report lies beside it.

    Raises:
        UserError: unknown task or key, or a run folder that holds something else.
    """
    experiment = recipe_of(task, overrides, seed)
    folder = RunFolder(out or default_out(experiment.name))
    table, table_seconds = latency_table(experiment.search_space(), reporter)
    first, second, trained = _trained(experiment, folder, reporter)
    comparison = _comparison(folder, trained, table)
    discovered = trained["discovered"]
    result = QuickstartResult(
        experiment=experiment.name,
        task=experiment.task.name,
        seed=experiment.seed,
        threads=discovered.threads,
        accelerator=discovered.accelerator,
        torch=discovered.torch,
        device=table.device.description,
        table=table.identity,
        seconds={
            "table": table_seconds if table_seconds > 1 else _seconds_before(folder),
            **encoder_seconds(first, discovered),
            "supernet": first.seconds,
            "search": second.seconds["search"],
            "train": discovered.seconds,
        },
        seconds_baselines=trained["scaled"].seconds + trained["largest"].seconds,
        comparison=comparison,
    )
    result.write(folder.result)
    write_report([folder.path], folder.report)
    return result


def recipe_of(task: str, overrides: Sequence[str], seed: int | None) -> Experiment:
    """The recipe of a quickstart; arguments and errors as `quickstart`'s."""
    known = [name.removesuffix(SUFFIX) for name in recipes() if name.endswith(SUFFIX)]
    if task not in known:
        raise unknown("quickstart task", task, known)
    experiment = load_experiment(task + SUFFIX, overrides)
    return experiment if seed is None else with_overrides(experiment, [f"seed={seed}"])


def _trained(
    experiment: Experiment, folder: RunFolder, reporter: Reporter
) -> tuple[SupernetResult, SearchResult, dict[Role, TrainResult]]:
    """The three steps and the baselines, each kept where it is finished."""
    out, searched = folder.path, folder.search().result
    # a second core trains what the step at hand does not wait for
    largest = partial(
        train_network,
        experiment,
        experiment.search_space().largest(),
        out,
        name="largest",
        purpose=Purpose("largest"),
        resume=True,
    )
    with head_start(largest) as wait:
        reporter.say("step 1: the super-network")
        first = train_supernet(experiment, out, resume=True, reporter=reporter)
        reporter.say("step 2: the search")
        second = search(experiment, out, resume=True, reporter=reporter)
        wait()
    reporter.say("step 3: the discovered network, and what it is compared with")
    # measures, so nothing else runs meanwhile
    chosen = choose_baseline("scaled", searched, out, resume=True, reporter=reporter)
    scaled = partial(train_chosen, experiment, chosen, out, resume=True)
    with head_start(scaled) as wait:
        discovered = train_network(
            experiment,
            load_architecture(searched),
            out,
            name="discovered",
            purpose=Purpose("discovered"),
            resume=True,
            reporter=reporter,
        )
        wait()
    return (
        first,
        second,
        {
            "discovered": discovered,
            "scaled": scaled(reporter=reporter),
            "largest": largest(reporter=reporter),
        },
    )


def _comparison(
    folder: RunFolder, trained: Mapping[Role, TrainResult], table: CostModel
) -> tuple[Compared, ...]:
    """The trained networks beside each other, measured in turn as exported files."""
    files = {role: _exported(folder.training(role)) for role in LABELS}
    measured = fastest({role: file.read_bytes() for role, file in files.items()}, HostDevice())
    rows = [_row(role, trained[role], measured[role], table, files[role]) for role in LABELS]
    references = trained["discovered"].references.items()
    further = (Compared(name.capitalize(), "other", score=r.score) for name, r in references)
    return (*rows, *further)


def latency_table(space: SearchSpace, reporter: Reporter) -> tuple[CostModel, float]:
    """This machine's table for the space and its scaled networks; what the cache lacks is measured.

    Returns:
        The table, and the seconds that measuring took.
    """
    started = time.perf_counter()
    spaces = [space, without_bypass(space)]
    table = measured_table(spaces, HostDevice(), reporter=reporter)
    return table, time.perf_counter() - started


def _seconds_before(folder: RunFolder) -> float:
    """What measuring took when this run did it, 0 where it found the table ready."""
    if not folder.result.exists():
        return 0.0
    return load_result(folder.result, QuickstartResult).seconds.get("table", 0.0)


def _exported(folder: StepFolder) -> Path:
    trained = load_network(folder.path)
    return export(
        trained.module,
        folder.exported,
        format="tflite",
        metadata=metadata_of(trained),
        architecture=trained.architecture,
    )


def _row(
    role: Role, trained: TrainResult, measured: float, table: CostModel, file: Path
) -> Compared:
    architecture = trained.architecture
    network = space_of(architecture).describe(architecture)
    layers = tuple(
        Layer(o.name, "depthwise" if o.depthwise else o.type, table.cost(o))
        for o in network.operations
    )
    return Compared(
        label=LABELS[role],
        role=role,
        score=trained.score,
        beside=trained.beside,
        latency_predicted_ms=sum(layer.latency_ms for layer in layers),
        latency_measured_ms=measured,
        macs=network.macs,
        params=network.params,
        file=str(file),
        architecture=architecture,
        layers=layers,
    )
