"""How many images the batch statistics of a candidate need."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from nas.benchmarks.ranking import kendall_tau
from nas.benchmarks.supernet_quality import fixed_networks, synchronise
from nas.progress import SILENT, Reporter
from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.runs.folder import RunFolder, default_out
from nas.runs.weights import load_supernet
from nas.steps.common import prepare
from nas.steps.supernet import train_supernet
from nas.training.evaluation import evaluate
from supernet import extract, recalibrate


def run(
    experiment: str = "cifar10_mobilenet_v3",
    overrides: list[str] | None = None,
    supernet: str | None = None,
    images: list[int] | None = None,
    networks: int = 20,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Score and time of the fixed sub-networks against the number of recalibration images.

    Args:
        experiment: the recipe.
        overrides: ``section.key=value`` for the recipe.
        supernet: folder of a trained super-network; None trains the recipe's in ``runs/``.
        images: numbers to compare; the largest is the reference that ranks are compared with.
        networks: sub-networks over the whole range of cost.
        reporter: shows progress.
    """
    base = load_experiment(experiment, overrides or [])
    device = prepare(base)
    task = open_task(base)
    space = base.search_space()
    if supernet is None:
        out = default_out(base.name)
        train_supernet(base, out, resume=True, reporter=reporter)
        supernet = str(RunFolder(out).supernet.path)
    shared = load_supernet(Path(supernet), expected=space, task=task).to(device)
    fixed = fixed_networks(space, networks)
    rows: dict[int, dict[str, Any]] = {}
    for count in images or [128, 512, 2048, 4096]:
        batches = [x.to(device) for x in task.calibration(count)]
        values, seconds = [], []
        for architecture in fixed:
            network = extract(shared, architecture)
            started = time.perf_counter()
            recalibrate(network, batches)
            synchronise(device)
            seconds.append(time.perf_counter() - started)
            evaluation = evaluate(network, task, task.holdout, batch_size=base.search.batch_size)
            values.append(evaluation.score.value)
        rows[count] = {
            "mean": statistics.mean(values),
            "seconds": statistics.mean(seconds),
            "scores": values,
        }
        reporter.say(f"{count} images: mean {rows[count]['mean']:.3f}")
    reference = rows[max(rows)]["scores"]
    for row in rows.values():
        row["tau_to_most"] = kendall_tau(row["scores"], reference)
        row["largest_change"] = max(
            abs(a - b) for a, b in zip(row["scores"], reference, strict=True)
        )
    default = base.search.recalibration_images
    return {
        "name": "recalibration",
        "value": rows[default]["mean"] if default in rows else rows[max(rows)]["mean"],
        "unit": task.unit,
        "details": {"score": task.score_name, "default_images": default, "images": rows},
    }
