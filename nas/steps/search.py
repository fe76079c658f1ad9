"""Step 2: the search, wired from a recipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from nas.optimizers import Optimizer, Problem
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment, Named
from nas.recipe.loading import parse_experiment
from nas.recipe.named import Kind
from nas.recipe.optimizers import check_optimizers, open_optimizer
from nas.recipe.tasks import open_task
from nas.runs.folder import SEARCH, RunFolder, StepFolder, claim
from nas.runs.results import SearchResult, load_result
from nas.runs.weights import load_supernet
from nas.search import Evaluator, FineTuning, SharedWeights, join_search, run_search
from nas.steps.common import prepare
from nas.steps.problem import problem_of
from nas.steps.start import start_network, start_of
from nas.training.distributed import refuse_ranks
from nas.urls import HIDDEN, shown
from search_spaces import UserError


def search(
    experiment: Experiment,
    out: Path,
    *,
    name: str = SEARCH,
    supernet: Path | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
) -> SearchResult:
    """Step 2: search with trained weights into ``out/search/<name>``.

    Args:
        experiment: its ``search`` section says for what.
        out: the run folder.
        name: of the search.
        supernet: weights or folder of a super-network, or for fine-tuning of a trained network;
            by default what the recipe says, or the run's own super-network (`start_of`).
        resume: go on with what is there.
        reporter: shows progress.

    Raises:
        UserError: a budget that cannot be met, a table that misses an operation, a super-network
            of another space, a folder that holds something else.
        Stopped: a signal came; the study is kept.
    """
    refuse_ranks("nas search", "use --workers N, or nas search --worker on each machine")
    folder = RunFolder(out).search(name)
    if experiment.search.storage and f":{HIDDEN}@" in experiment.search.storage:
        raise UserError("search.storage: recipes are stored without its password; give --study")
    problem = problem_of(experiment, reporter)
    optimizer_for(experiment, problem)  # refuses what cannot work before anything is written
    check_evaluator(experiment)
    weights = start_of(experiment, supernet, out)
    if claim(folder, experiment, ("supernet", "search"), resume=resume):
        return load_result(folder.result, SearchResult)
    evaluator = evaluator_of(experiment, weights, folder.path)
    stored = {
        "experiment": experiment.shareable().to_dict(),
        "supernet": None if weights is None else str(weights.resolve()),
        "folder": str(folder.path.resolve()),
    }
    result = run_search(
        optimizer_for(experiment, problem, evaluator),
        evaluator,
        folder.path,
        name=name,
        storage=experiment.search.storage,
        experiment=stored,
        facts={
            "experiment": experiment.name,
            "task": experiment.task.name,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        resume=resume,
        workers=experiment.search.workers,
        worker_command=[sys.executable, "-P", "-m", "nas", "search", "--worker"],
        reporter=reporter,
    )
    draw(folder.path, experiment, result)
    if result.stopped is not None:
        reporter.warn(f"the search ended before its budget: {result.stopped}")
    return result


def join(url: str, *, name: str | None = None, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Work on a search that was started elsewhere, until it is done.

    Raises:
        UserError: no such study, or this machine's data, weights or tables differ.
        Stopped: a signal came.
    """

    def build(stored: Mapping[str, Any]) -> tuple[Optimizer, Evaluator]:
        experiment = parse_experiment(stored["experiment"], where=shown(url))
        weights = stored["supernet"]
        evaluator = evaluator_of(
            experiment, None if weights is None else Path(weights), Path(stored["folder"])
        )
        return optimizer_for(experiment, problem_of(experiment), evaluator), evaluator

    evaluated = join_search(url, build, name=name, reporter=reporter)
    return {"schema": 1, "study": shown(url), "evaluations": evaluated}


def optimizer_for(
    experiment: Experiment, problem: Problem, evaluator: Evaluator | None = None
) -> Optimizer:
    """A fresh optimizer of the experiment's search; the evaluator says which way scores improve.

    Raises:
        UserError: an unknown optimizer or setting, or a budget that cannot be met.
    """
    if evaluator is not None:
        problem = replace(problem, higher_is_better=evaluator.higher_is_better)
    section, folder = experiment.search, experiment.code_folder
    check_optimizers(section, folder)
    settings = section.optimizers.get(section.optimizer, {})
    return open_optimizer(section.optimizer, problem, settings, folder=folder)


def evaluator_of(experiment: Experiment, weights: Path | None, folder: Path) -> Evaluator:
    """The evaluator of an experiment's search, its weights and data read.

    Raises:
        UserError: the weights are missing, broken or of another space.
    """
    kind, chosen = _evaluator(experiment)
    found: Evaluator = kind.open(
        chosen.name, chosen.settings, experiment=experiment, weights=weights, folder=folder
    )
    return found


def trains_first(experiment: Experiment) -> bool:
    """False for a search by fine-tuning whose recipe brings a trained network."""
    brings = experiment.traced or experiment.search.weights is not None
    return not (brings and _evaluator(experiment)[1].name == "fine_tuning")


def check_evaluator(experiment: Experiment) -> None:
    """Refuse an evaluator that cannot be built, before anything is read or written.

    Raises:
        UserError: an unknown evaluator or setting.
    """
    kind, chosen = _evaluator(experiment)
    kind.settings(chosen.name, chosen.settings)


def _evaluator(experiment: Experiment) -> tuple[Kind, Named]:
    """Of the recipe, or what belongs to its optimizer."""
    section = experiment.search
    arguments = ("experiment", "weights", "folder")
    kind = Kind(
        "evaluator", "search.evaluator", EVALUATORS, arguments, Evaluator, experiment.code_folder
    )
    belongs = BELONGS.get(section.optimizer, "shared_weights")
    return kind, section.evaluator or Named(name=belongs)


def shared_weights(experiment: Experiment, weights: Path | None, folder: Path) -> Evaluator:
    """Scores from a super-network, nothing is trained."""
    device = prepare(experiment)
    if weights is None:
        raise UserError(
            f"optimizer {experiment.search.optimizer} scores with a super-network's weights; run "
            "nas train-supernet first, or set search.evaluator={name: fine_tuning}"
        )
    task = open_task(experiment)
    return SharedWeights(
        load_supernet(weights, expected=experiment.search_space(), task=task, searched=True),
        task,
        recalibration_images=experiment.search.recalibration_images,
        batch_size=experiment.search.batch_size,
        device=device,
    )


def fine_tuning(
    experiment: Experiment,
    weights: Path | None,
    folder: Path,
    *,
    steps: Annotated[int, Field(ge=0)] = 500,
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4,
    batch_size: Annotated[int, Field(ge=1)] = 128,
    recalibration_images: Annotated[int, Field(ge=0)] = 0,
) -> Evaluator:
    """Scores after short fine-tuning; starts from the space's largest network, trained."""
    device = prepare(experiment)
    task = open_task(experiment)
    return FineTuning(
        start_network(experiment, weights, task, StepFolder(folder)),
        experiment.search_space(),
        task,
        folder,
        steps=steps,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
        recalibration_images=recalibration_images,
        evaluation_batch_size=experiment.search.batch_size,
        device=device,
        seed=experiment.seed,
    )


EVALUATORS: dict[str, Callable[..., Evaluator]] = {
    "shared_weights": shared_weights,
    "fine_tuning": fine_tuning,
}

BELONGS = {"netadapt": "fine_tuning"}
"""Optimizer → the evaluator that it has unless the recipe names one."""


def draw(folder: Path, experiment: Experiment, result: SearchResult) -> None:
    """Trade-off curve and drawing of the best network, as images in TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    from nas.report import architecture_figure, tradeoff_figure

    name, budget = next(iter(result.budgets.items()))
    if not result.family:
        return
    score = result.family[0].score
    points = [(member.metrics[name], member.score.value) for member in result.family]
    with SummaryWriter(str(folder)) as events:
        figure = tradeoff_figure(
            points,
            metric=f"{name} ({budget.unit})",
            score=f"{score.name} ({score.unit})",
            budget=budget.value,
        )
        events.add_figure("search/trade_off", figure, len(result.family) - 1)
        if result.best is not None:
            drawing = architecture_figure(experiment.search_space(), result.best.architecture)
            events.add_figure("search/architecture", drawing, result.best.iteration)
