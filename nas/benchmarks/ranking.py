"""Do the shared weights rank sub-networks as stand-alone training does?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nas.benchmarks.supernet_quality import fixed_networks, scores, shortened
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment, Named
from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.runs.folder import RunFolder
from nas.runs.weights import load_supernet
from nas.steps.network import train_network
from nas.steps.supernet import train_supernet
from nas.tasks.base import Task
from search_spaces import Architecture, SearchSpace
from supernet.strategies.drawing import Drawing

PLAIN = Named(
    name="ordered_dropout",
    settings={"groups": "image", "statistics": "shared", "widen": 0.0, "keep": 0.0, "largest": 0},
)
"""Ordered dropout as one would write it first: every image its own, the full range at once."""


def similar_networks(space: SearchSpace, count: int, *, share: float = 0.5) -> list[Architecture]:
    """The same ``count`` sub-networks every time, within 2 % of ``share`` of the largest MACs."""
    source = random.Random("ranking")
    drawing = Drawing(widen=0.0)
    target = share * space.describe(space.largest()).macs
    chosen: list[Architecture] = []
    while len(chosen) < count:
        drawn = space.architecture(drawing.draw(space, 1.0, source))
        if abs(space.describe(drawn).macs / target - 1) <= 0.02 and drawn not in chosen:
            chosen.append(drawn)
    return chosen


def kendall_tau(a: ArrayLike, b: ArrayLike, *, apart: float = 0.0) -> float:
    """Kendall's tau-a: concordant less discordant pairs over all pairs; ties count as neither.

    Args:
        a: what is to be predicted.
        b: what predicts it.
        apart: pairs whose ``a`` differ by less are left out: their order is noise. NaN where
            none remains.
    """
    x, y = np.asarray(a, float), np.asarray(b, float)
    i, j = np.triu_indices(len(x), 1)
    kept = np.abs(x[i] - x[j]) >= apart
    if not kept.any():
        return float("nan")
    return float(np.mean((np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]))[kept]))


def interval(a: Sequence[float], b: Sequence[float], *, draws: int = 2000) -> tuple[float, float]:
    """The 90 % bootstrap interval of tau over the networks."""
    generator = np.random.default_rng(0)
    x, y = np.asarray(a), np.asarray(b)
    taus = []
    for _ in range(draws):
        # pairs of a network with its own copy say nothing: they are left out by drawing a subset
        index = np.unique(generator.integers(0, len(x), len(x)))
        if len(index) > 2:
            taus.append(kendall_tau(x[index], y[index]))
    low, high = np.quantile(taus, [0.05, 0.95])
    return float(low), float(high)


def run(
    experiment: str = "cifar10_mobilenet_v3",
    overrides: list[str] | None = None,
    networks: int = 12,
    similar: int = 8,
    steps: int = 400,
    alone_steps: int = 400,
    seed: int = 0,
    apart: float = 0.0,
    supernets: dict[str, str] | None = None,
    folder: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Kendall's tau of the default and of the plain strategy.

    Args:
        experiment: the recipe.
        overrides: ``section.key=value`` for the recipe.
        networks: sub-networks over the whole range of cost.
        similar: sub-networks of half the largest network's MACs; 0 for none.
        steps: of the training of each super-network.
        alone_steps: of the stand-alone training of each sub-network.
        seed: of everything that is trained.
        apart: stand-alone scores must differ by this for a pair to count in ``tau_apart``.
        supernets: label → folder of a trained super-network, in place of training them.
        folder: keep the runs here and go on with what is there.
        reporter: shows progress.
    """
    base = load_experiment(experiment, overrides or [])
    task = open_task(base)
    space = base.search_space()
    spread = fixed_networks(space, networks)
    alike = similar_networks(space, similar)
    with TemporaryDirectory() as temporary:
        root = Path(folder) if folder else Path(temporary)
        alone = [
            _alone(base, task, a, root / "alone", f"network{i}", alone_steps, seed, reporter)
            for i, a in enumerate([*spread, *alike])
        ]
        rows: dict[str, dict[str, Any]] = {}
        trained = supernets or dict.fromkeys(("default", "plain"), "")
        for label, path in trained.items():
            found = Path(path) if path else root / label
            if not path:
                named = PLAIN if label == "plain" else base.supernet.strategy
                shortened_to = shortened(base, task, named, steps, base.supernet.lr, seed)
                train_supernet(shortened_to, found, resume=True, reporter=reporter)
                found = RunFolder(found).supernet.path
            supernet = load_supernet(found, expected=space, task=task)
            shared = scores(supernet, [*spread, *alike], task, base)
            rows[label] = {
                "whole_range": _row(shared[:networks], alone[:networks], apart),
                "similar_cost": (
                    _row(shared[networks:], alone[networks:], apart) if similar else None
                ),
                "shared_scores": shared,
            }
    return {
        "name": "ranking",
        "value": next(iter(rows.values()))["whole_range"]["tau"],
        "unit": "Kendall's tau",
        "details": {
            "supernets": rows,
            "alone_scores": alone,
            "macs": [space.describe(a).macs for a in [*spread, *alike]],
            "steps": steps,
            "alone_steps": alone_steps,
            "seed": seed,
            "apart": apart,
        },
    }


def _row(shared: Sequence[float], alone: Sequence[float], apart: float) -> dict[str, float | None]:
    low, high = interval(shared, alone)
    of_those = kendall_tau(alone, shared, apart=apart)
    return {
        "tau": kendall_tau(alone, shared),
        "low": low,
        "high": high,
        "tau_apart": None if np.isnan(of_those) else of_those,
    }


def _alone(
    base: Experiment,
    task: Task,
    architecture: Architecture,
    out: Path,
    name: str,
    steps: int,
    seed: int,
    reporter: Reporter,
) -> float:
    per_epoch = task.train_images // base.train.batch_size
    epochs = -(-steps // per_epoch)
    train = base.train.model_copy(
        update={
            "epochs": epochs,
            "steps_per_epoch": -(-steps // epochs),
            "warmup_epochs": 0.1 * epochs,
            "validate_epochs": 0,
            "weights": "scratch",
        }
    )
    experiment = base.model_copy(update={"train": train, "seed": seed})
    result = train_network(experiment, architecture, out, name=name, resume=True, reporter=reporter)
    value = result.scores["holdout"].value
    reporter.say(f"{name}: {value:.4f}")
    return value
