"""What a comparison runs: the steps of every variation and seed, and what each waits for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nas.recipe.comparison import Comparison, slug
from nas.recipe.experiment import Experiment
from nas.runs.folder import RunFolder, StepFolder
from nas.runs.results import SearchResult, load_result
from nas.steps.search import trains_first
from search_spaces import UserError


@dataclass(frozen=True)
class Unit:
    """One variation and seed, as steps of a run folder that it may share with others."""

    label: str
    seed: int
    experiment: Experiment
    run: RunFolder
    search: StepFolder
    training: StepFolder
    supernet: StepFolder | None
    of: str | None = None
    baseline: str | None = None
    within: float | None = None


@dataclass(frozen=True)
class Step:
    """One step: ``key`` is its folder, ``after`` the folders that must be finished before."""

    key: Path
    kind: str
    unit: Unit
    after: tuple[Path, ...]

    @property
    def says(self) -> str:
        """What it is, for people."""
        if self.kind == "supernet":
            return f"seed {self.unit.seed}: super-network {self.unit.run.path.name}"
        return f"seed {self.unit.seed}: {self.kind} {self.unit.label}"

    @property
    def finished(self) -> bool:
        """True where its result is there."""
        return StepFolder(self.key).result.exists()


def plan(comparison: Comparison, out: Path) -> list[Unit]:
    """Every variation and seed, with the folders it works in.

    Variations whose space, task and super-network are equal share one run folder and so one
    super-network for each seed; it has the name of the first of them.

    Raises:
        UserError: a variation that the recipe refuses.
    """
    units: list[Unit] = []
    for seed in comparison.seeds:
        shared: dict[str, RunFolder] = {}
        of_label: dict[str, Unit] = {}
        for label, own in comparison.variations.items():
            experiment = comparison.experiment(label, seed)
            if own.of is None:
                folder = RunFolder(out / f"seed-{seed}" / slug(label))
                run = shared.setdefault(_supernet_key(experiment), folder)
                search = run.search(slug(label))
                supernet = run.supernet if trains_first(experiment) else None
            else:
                run, search = of_label[own.of].run, of_label[own.of].search
                supernet = of_label[own.of].supernet
            of_label[label] = Unit(
                label,
                seed,
                experiment,
                run,
                search,
                run.training(slug(label)),
                supernet,
                own.of,
                own.baseline,
                own.within,
            )
        units += of_label.values()
    return units


def _supernet_key(experiment: Experiment) -> str:
    values = experiment.to_dict()
    return json.dumps([values[name] for name in ("space", "task", "supernet", "threads")])


def steps(units: list[Unit]) -> dict[Path, Step]:
    """The steps of all units, by their folder."""
    found: dict[Path, Step] = {}
    for unit in units:
        after: tuple[Path, ...] = ()
        if unit.supernet is not None:
            key = unit.supernet.path
            found.setdefault(key, Step(key, "supernet", unit, ()))
            after = (key,)
        if unit.of is None:
            found[unit.search.path] = Step(unit.search.path, "search", unit, after)
        key = unit.training.path
        found[key] = Step(key, "train", unit, (unit.search.path,))
    return found


def member_within(searched: Path, share: float) -> int:
    """The best member of a family within a share of the largest network's cost, from 0.

    Raises:
        UserError: none is that cheap.
    """
    result = load_result(searched, SearchResult)
    metric = next(iter(result.budgets))
    most = share * result.family[0].metrics[metric]
    fits = [i for i, m in enumerate(result.family) if m.metrics[metric] <= most * (1 + 1e-9)]
    if not fits:
        raise UserError(f"{searched}: no member within {share:.0%} of the largest network")
    sign = 1 if result.family[0].score.higher_is_better else -1
    return max(fits, key=lambda i: sign * result.family[i].score.value)
