"""All three steps on this machine, with the two networks that a result has to be held against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lut.cost import CostModel
from lut.devices.host import HostDevice
from lut.validate import fastest
from nas.export import export
from nas.files import read_json, write_json
from nas.progress import SILENT, Reporter
from nas.recipe.loading import load_experiment, recipes, with_overrides
from nas.report import write_report
from nas.runs.folder import RESULT, RESULT_SCHEMA, default_out
from nas.runs.networks import load_architecture
from nas.runs.weights import load_network
from nas.steps import (
    choose_baseline,
    own_version,
    search,
    train_chosen,
    train_network,
    train_supernet,
)
from nas.steps.common import encoder_seconds
from nas.steps.deploy import metadata_of
from nas.steps.headstart import head_start
from nas.steps.matching import without_bypass
from nas.steps.tables import measured_table
from search_spaces import Architecture, SearchSpace, space_of, unknown

SUFFIX = "_quickstart"

LABELS = {"largest": "Largest", "scaled": "Uniformly scaled", "discovered": "Discovered"}
"""The rows of the comparison: role, which is also the name of the training, and label."""


def quickstart(
    *,
    task: str = "digits",
    overrides: Sequence[str] = (),
    seed: int | None = None,
    out: Path | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
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
        What the run's ``result.json`` holds, and the path of the report under ``report``.

    Raises:
        UserError: unknown task or key, or a run folder that holds something else.
    """
    known = [name.removesuffix(SUFFIX) for name in recipes() if name.endswith(SUFFIX)]
    if task not in known:
        raise unknown("quickstart task", task, known)
    experiment = load_experiment(task + SUFFIX, overrides)
    if seed is not None:
        experiment = with_overrides(experiment, [f"seed={seed}"])
    folder = out or default_out(experiment)
    space = experiment.search_space()

    table, table_seconds = latency_table(space, reporter)
    searched = folder / "search" / "main" / RESULT
    # a second core trains what the step at hand does not wait for
    largest = partial(
        train_network, experiment, space.largest(), folder, name="largest", resume=True
    )
    with head_start(largest) as wait:
        reporter.say("step 1: the super-network")
        first = train_supernet(experiment, folder, resume=True, reporter=reporter)
        reporter.say("step 2: the search")
        second = search(experiment, folder, resume=True, reporter=reporter)
        wait()
    reporter.say("step 3: the discovered network, and what it is compared with")
    # measures, so nothing else runs meanwhile
    chosen = choose_baseline("scaled", searched, folder, resume=True, reporter=reporter)
    scaled = partial(train_chosen, experiment, chosen, folder, resume=True)
    with head_start(scaled) as wait:
        discovered = train_network(
            experiment,
            load_architecture(searched),
            folder,
            name="discovered",
            resume=True,
            reporter=reporter,
        )
        wait()
    trained = {
        "discovered": discovered,
        "scaled": scaled(reporter=reporter),
        "largest": largest(reporter=reporter),
    }
    networks = {role: load_architecture(folder / "train" / role) for role in LABELS}
    files = {role: _exported(folder / "train" / role) for role in networks}
    measured = fastest({role: file.read_bytes() for role, file in files.items()}, HostDevice())
    result = {
        "schema": RESULT_SCHEMA,
        "step": "quickstart",
        "experiment": experiment.name,
        "task": experiment.task.name,
        "seed": experiment.seed,
        "threads": trained["discovered"]["threads"],
        "version": own_version(),
        "device": table.device.description,
        "table": table.identity,
        "seconds": {
            "table": table_seconds if table_seconds > 1 else _seconds_before(folder),
            **encoder_seconds(first, trained["discovered"]),
            "supernet": first["seconds"],
            "search": second["seconds"]["search"],
            "train": trained["discovered"]["seconds"],
        },
        "seconds_baselines": trained["scaled"]["seconds"] + trained["largest"]["seconds"],
        "comparison": [
            _row(role, networks[role], trained[role], measured[role], table, files[role])
            for role in LABELS
        ]
        + [
            {"label": name.capitalize(), "role": "other", "score": reference["score"]}
            for name, reference in trained["discovered"]["references"].items()
        ],
    }
    write_json(folder / RESULT, result)
    report = write_report([folder], folder / "report.html")
    return {**result, "report": str(report)}


def latency_table(space: SearchSpace, reporter: Reporter) -> tuple[CostModel, float]:
    """This machine's table for the space and its scaled networks; what the cache lacks is measured.

    Returns:
        The table, and the seconds that measuring took.
    """
    started = time.perf_counter()
    spaces = [space, without_bypass(space)]
    table = measured_table(spaces, HostDevice(), reporter=reporter)
    return table, time.perf_counter() - started


def _seconds_before(folder: Path) -> float:
    """What measuring took when this run did it, 0 where it found the table ready."""
    stored = folder / RESULT
    if not stored.exists():
        return 0.0
    return float(read_json(stored).get("seconds", {}).get("table", 0.0))


def _exported(folder: Path) -> Path:
    trained = load_network(folder)
    return export(
        trained.module,
        folder / "network.tflite",
        format="tflite",
        metadata=metadata_of(trained),
        architecture=trained.architecture,
    )


def _row(
    role: str,
    architecture: Architecture,
    trained: dict[str, Any],
    measured: float,
    table: CostModel,
    file: Path,
) -> dict[str, Any]:
    network = space_of(architecture).describe(architecture)
    layers = [
        {
            "name": operation.name,
            "type": "depthwise" if operation.depthwise else operation.type,
            "latency_ms": table.cost(operation),
        }
        for operation in network.operations
    ]
    return {
        "label": LABELS[role],
        "role": role,
        "score": trained["score"],
        "beside": trained["beside"],
        "latency_predicted_ms": sum(layer["latency_ms"] for layer in layers),
        "latency_measured_ms": measured,
        "macs": network.macs,
        "params": network.params,
        "file": str(file),
        "architecture": architecture.to_dict(),
        "layers": layers,
    }
