"""What a search has to solve: metrics, priced by tables, and absolute budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lut import open_cost_model
from lut.cost import CostModel, Precision
from lut.devices.host import HostDevice
from lut.fit import fitted_names, load_fitted
from nas.metrics import absolute_budgets, split_budgets
from nas.optimizers import Problem
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment, SearchSection
from nas.recipe.metrics import open_metric
from nas.steps.tables import measured_table
from search_spaces import SearchSpace


def problem_of(
    experiment: Experiment, reporter: Reporter = SILENT, *, further: Sequence[SearchSpace] = ()
) -> Problem:
    """The problem of an experiment's search. Arguments and errors as `problem_for`'s."""
    space = experiment.search_space()
    return problem_for(
        space,
        experiment.search,
        seed=experiment.seed,
        reporter=reporter,
        further=further,
        folder=experiment.code_folder,
    )


def problem_for(
    space: SearchSpace,
    section: SearchSection,
    *,
    seed: int = 0,
    higher_is_better: bool = True,
    reporter: Reporter = SILENT,
    further: Sequence[SearchSpace] = (),
    folder: Path | None = None,
) -> Problem:
    """The metrics and absolute budgets that a search section names, for a space.

    This machine's own table is measured where the cache lacks it.

    Args:
        space: that is searched.
        section: metric, budgets, device or table, and the resolution at which networks are priced.
        seed: of the proposals.
        higher_is_better: of the score.
        reporter: shows the progress of measuring.
        further: spaces whose networks the metrics are to price too.
        folder: where files of the user's own metrics are looked for first.

    Raises:
        UserError: an unknown metric, device or unit, or a table that misses an operation.
    """
    wanted = section.resolution or space.resolution
    priced = space if wanted == space.resolution else space.at(wanted)
    texts = split_budgets(section.metric, [section.budget, *section.constraints])

    def cost_model(device: str | None) -> CostModel:
        if device is None and section.table is not None:
            return open_cost_model(None, section.table, section.precision)
        named = device or section.device or "host"
        if named == "host":
            # what the cache holds is not measured again
            return measured_table(
                [priced, *further],
                HostDevice(),
                precision=section.precision or "float32",
                reporter=reporter,
            )
        return open_cost_model(named, None, section.precision, space=priced)

    metrics = tuple(
        open_metric(
            name,
            priced,
            cost_model=cost_model,
            functions=section.metrics,
            phones=section.phones,
            folder=folder,
            precision=precision_of(section),
        )
        for name in texts
    )
    budgets = absolute_budgets(texts, metrics, priced)
    return Problem(space, metrics, budgets, seed, higher_is_better)


def precision_of(section: SearchSection) -> Precision:
    """Of the networks that are searched: as stated, or what the fitted device is of."""
    if section.precision is None and section.device in fitted_names():
        return load_fitted(section.device).device.precision
    return section.precision or "float32"
