"""How good the shared weights are: twenty fixed sub-networks after equal device time."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment, Named
from nas.recipe.loading import load_experiment
from nas.recipe.strategies import open_strategy
from nas.recipe.tasks import open_task
from nas.runs.folder import RunFolder
from nas.runs.weights import load_supernet
from nas.steps.common import prepare
from nas.steps.supernet import train_supernet
from nas.tasks.base import Task
from nas.training.device import autocast
from nas.training.evaluation import evaluate_subnetworks
from search_spaces import Architecture, SearchSpace, UserError
from supernet import Supernet
from supernet.share import WHOLE
from supernet.strategies import Strategy
from supernet.strategies.drawing import Drawing

DEFAULT: dict[str, dict[str, Any]] = {
    "default": {},
    "sandwich": {"strategy": "sandwich"},
    "largest": {"strategy": "largest"},
}


def fixed_networks(space: SearchSpace, count: int = 20, *, draws: int = 400) -> list[Architecture]:
    """The same ``count`` sub-networks every time, evenly spread over the range of MACs.

    The first is the largest network, the last the smallest.
    """
    source = random.Random("supernet-quality")
    drawing = Drawing(widen=0.0)
    pool = [space.architecture(drawing.draw(space, 1.0, source)) for _ in range(draws)]
    pool += [space.scaled(share / 50) for share in range(1, 50)]
    cost = {a: space.describe(a).macs for a in pool}
    largest, smallest = space.largest(), space.smallest()
    high, low = space.describe(largest).macs, space.describe(smallest).macs
    chosen = [largest]
    for i in range(1, count - 1):
        target = high + (low - high) * i / (count - 1)
        best = min(pool, key=lambda a: (abs(cost[a] - target), cost[a]))
        pool.remove(best)
        chosen.append(best)
    return [*chosen, smallest]


def step_seconds(
    experiment: Experiment, task: Task, strategies: Mapping[str, Strategy], repeats: int
) -> dict[str, float]:
    """Seconds of a training step (without the update) of each strategy, as the recipe computes it.

    All are timed in turn, in an order drawn anew in every round. What is told is the median
    step of the first one, and the others by their median ratio to it within a round, so that
    a machine that changes its speed meets them alike. Equal strategies are timed once.
    """
    device = prepare(experiment)
    space = experiment.search_space()
    supernet = Supernet(space).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    supernet.train()
    images, targets = next(task.train_batches(0, experiment.supernet.batch_size))
    images, targets = images.to(device), targets.to(device)
    distinct = list(dict.fromkeys(strategies.values()))
    taken: dict[Strategy, list[float]] = {drawn: [] for drawn in distinct}
    order = random.Random(0)
    for repeat in range(repeats + 1):
        for drawn in order.sample(distinct, len(distinct)):
            synchronise(device)
            started = time.perf_counter()
            supernet.zero_grad()
            for part in WHOLE.split(experiment.supernet.accumulate):
                source, own = random.Random(repeat), (part.of(images), part.of(targets))
                passes = drawn.passes(supernet, *own, 1.0, source, part)
                for _ in range(drawn.forwards):
                    with autocast(device, experiment.precision):
                        outputs, wanted, weight = next(passes)
                    torch.autograd.backward(weight * task.loss(outputs, wanted))
            synchronise(device)
            if repeat:
                taken[drawn].append(time.perf_counter() - started)
    first = taken[distinct[0]]
    ratio = {
        drawn: statistics.median(a / b for a, b in zip(times, first, strict=True))
        for drawn, times in taken.items()
    }
    return {label: statistics.median(first) * ratio[s] for label, s in strategies.items()}


def synchronise(device: torch.device) -> None:
    """Wait for an accelerator's work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def run(
    experiment: str = "cifar10_mobilenet_v3",
    overrides: list[str] | None = None,
    strategies: dict[str, dict[str, Any]] | None = None,
    steps: int = 400,
    networks: int = 20,
    seeds: list[int] | None = None,
    repeats: int = 5,
    folder: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Train a super-network with each strategy for equal device time and score the sub-networks.

    Args:
        experiment: the recipe; its own strategy is the ``default``.
        overrides: ``section.key=value`` for the recipe.
        strategies: label → {"strategy": name, settings…, "time": factor on the device time,
            "lr": learning rate}; all three keys may be left out.
        steps: steps of the first strategy; the others get the steps of equal device time.
        networks: how many sub-networks are scored.
        seeds: of the training; the sub-networks stay the same.
        repeats: steps timed per strategy.
        folder: keep the runs here and go on with what is there.
        reporter: shows progress.
    """
    base = load_experiment(experiment, overrides or [])
    recipes = {k: _strategy(base, settings) for k, settings in (strategies or DEFAULT).items()}
    built = {k: open_strategy(named, base.code_folder) for k, (named, _, _) in recipes.items()}
    task = open_task(base)
    seconds = step_seconds(base, task, built, repeats)
    first = next(iter(seconds.values()))
    space = base.search_space()
    fixed = fixed_networks(space, networks)
    rows: dict[str, Any] = {}
    with TemporaryDirectory() as temporary:
        root = Path(folder) if folder else Path(temporary)
        for label, (named, factor, lr) in recipes.items():
            count = max(1, round(steps * factor * first / seconds[label]))
            per_seed = []
            for seed in seeds or [base.seed]:
                experiment_of = shortened(base, task, named, count, lr, seed)
                out = root / f"{label}-{seed}"
                train_supernet(experiment_of, out, resume=True, reporter=reporter)
                supernet = load_supernet(RunFolder(out).supernet.path, expected=space)
                per_seed.append(scores(supernet, fixed, task, base))
                reporter.say(f"{label} seed {seed}: mean {statistics.mean(per_seed[-1]):.4f}")
            means = [statistics.mean(values) for values in per_seed]
            rows[label] = {
                "steps": count,
                "seconds_per_step": seconds[label],
                "relative_step": seconds[label] / first,
                "mean": statistics.mean(means),
                "means": means,
                "scores": per_seed,
            }
    if not rows:
        raise UserError("supernet-quality: no strategies")
    return {
        "name": "supernet-quality",
        "value": next(iter(rows.values()))["mean"],
        "unit": task.unit,
        "details": {
            "score": task.score_name,
            "macs": [space.describe(a).macs for a in fixed],
            "recalibration_images": base.search.recalibration_images,
            "strategies": rows,
        },
    }


def _strategy(base: Experiment, settings: Mapping[str, Any]) -> tuple[Named, float, float]:
    """A strategy as a recipe names it, its factor on the device time, and its learning rate."""
    settings = dict(settings)
    factor = float(settings.pop("time", 1.0))
    lr = float(settings.pop("lr", base.supernet.lr))
    default = base.supernet.strategy
    name = settings.pop("strategy", default.name)
    full = {**default.settings, **settings} if name == default.name else settings
    return Named(name=name, settings=full), factor, lr


def shortened(
    base: Experiment, task: Task, named: Named, steps: int, lr: float, seed: int
) -> Experiment:
    """The recipe with another strategy and about this many steps, its schedule in full."""
    per_epoch = task.train_images // base.supernet.batch_size
    epochs = -(-steps // per_epoch)
    supernet = base.supernet.model_copy(
        update={
            "strategy": named,
            "lr": lr,
            "epochs": epochs,
            "steps_per_epoch": -(-steps // epochs),
            "warmup_epochs": 0.1 * epochs,
            "probe_epochs": 0,
        }
    )
    return base.model_copy(update={"supernet": supernet, "seed": seed})


def scores(
    supernet: Supernet, networks: list[Architecture], task: Task, experiment: Experiment
) -> list[float]:
    """The hold-out scores of these sub-networks, recalibrated."""
    search = experiment.search
    calibration = task.calibration(search.recalibration_images)
    named = {str(i): a for i, a in enumerate(networks)}
    found = evaluate_subnetworks(supernet, named, task, calibration, batch_size=search.batch_size)
    return [evaluation.score.value for evaluation in found.values()]
