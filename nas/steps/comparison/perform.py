"""One step of a comparison, done."""

from __future__ import annotations

from pathlib import Path

from nas.progress import SILENT, Reporter
from nas.recipe.comparison import slug
from nas.runs.networks import load_chosen
from nas.steps.baseline import train_baseline
from nas.steps.comparison.plan import Step, member_within
from nas.steps.network import Purpose, train_network
from nas.steps.search import search
from nas.steps.start import member_weights
from nas.steps.supernet import train_supernet
from search_spaces import UserError


def perform(step: Step, out: Path, reporter: Reporter = SILENT) -> str | None:
    """Do a step, or go on with it; why not where it is refused.

    Raises:
        Stopped: a signal came.
    """
    unit = step.unit
    try:
        if step.kind == "supernet":
            train_supernet(unit.experiment, unit.run.path, resume=True, reporter=reporter)
        elif step.kind == "search":
            name = slug(unit.label)
            search(unit.experiment, unit.run.path, name=name, resume=True, reporter=reporter)
        else:
            _train(step, reporter)
    except UserError as error:
        return str(error)
    return None


def _train(step: Step, reporter: Reporter) -> None:
    unit, searched = step.unit, step.unit.search.result
    name = unit.training.name
    if unit.baseline is not None:
        train_baseline(
            unit.experiment,
            unit.baseline,
            searched,
            unit.run.path,
            name=name,
            resume=True,
            reporter=reporter,
        )
        return
    member = None if unit.within is None else member_within(searched, unit.within)
    architecture, role = load_chosen(searched, member=member)
    train_network(
        unit.experiment,
        architecture,
        unit.run.path,
        name=name,
        purpose=Purpose(role),
        supernet=member_weights(searched, architecture),
        resume=True,
        reporter=reporter,
    )
