"""A search in memory, scored by a function of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.optimizers import Candidate, Member, Optimizer, Result
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import SearchSection
from nas.recipe.optimizers import open_optimizer
from nas.steps.problem import problem_for
from search_spaces import Architecture, SearchSpace, UserError


@dataclass(frozen=True)
class FoundNetworks:
    """What a search in memory found.

    ``family`` has the winner of every iteration, from the largest network on; ``best`` is the
    best of those that keep every budget, None where ``stopped`` says why there is none.
    """

    best: Member | None
    family: tuple[Member, ...]
    evaluations: int
    stopped: str | None


def find_networks(
    space: SearchSpace,
    score: Callable[[Architecture], float],
    budget: str = "50%",
    *,
    metric: str = "latency",
    constraints: Sequence[str] = (),
    device: str | None = None,
    table: Path | None = None,
    optimizer: str = "guided",
    settings: Mapping[str, Any] | None = None,
    higher_is_better: bool = True,
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> FoundNetworks:
    """Search a space for the networks with the best score within a budget.

    Nothing is written and nothing trained: the score may be an oracle, a formula, or a training
    of one's own. A search that takes hours belongs into a recipe, which can be resumed.

    Args:
        space: of any kind; see `nas.open_space`.
        score: of an architecture; ``space.describe(architecture)`` is its network.
        budget: absolute with a unit (``30ms``, ``220M``) or a share of the largest network.
        metric: that is descended: ``latency``, ``macs`` or ``params``.
        constraints: further budgets, as ``params=5M``.
        device: whose latency; this machine's by default, measured where it is not known yet.
        table: a latency table file in place of ``device``.
        optimizer: ``guided``, ``mcd``, ``netadapt``, ``random``, ``nsga2`` or ``tpe``.
        settings: of the optimizer.
        higher_is_better: False where a lower score is the better one.
        seed: of the proposals.
        reporter: shows progress.

    Raises:
        UserError: an unknown name or setting, a budget that cannot be met, or a score that is no
            number.
    """
    section = SearchSection(
        metric=metric,
        budget=budget,
        constraints=list(constraints),
        device=device,
        table=table,
        optimizer=optimizer,
    )
    problem = problem_for(
        space, section, seed=seed, higher_is_better=higher_is_better, reporter=reporter
    )
    search = open_optimizer(optimizer, problem, settings or {})
    return ask_and_tell(search, lambda candidate: score(candidate.architecture), reporter=reporter)


def ask_and_tell(
    search: Optimizer,
    score: Callable[[Candidate], float],
    *,
    on_winner: Callable[[Member], None] = lambda winner: None,
    reporter: Reporter = SILENT,
) -> FoundNetworks:
    """Run an optimizer to its end, one candidate after another.

    Args:
        search: a fresh optimizer.
        score: of a candidate; not finite where it has none.
        on_winner: called with every iteration's winner.
        reporter: shows progress.

    Raises:
        UserError: a score that is no number.
    """
    evaluations = 0
    with reporter.work("search", search.iterations + 1) as bar:
        while candidates := search.ask():
            results = [Result(c, _number(score(c))) for c in candidates]
            evaluations += len(results)
            winner = search.tell(results)
            if winner is not None:
                on_winner(winner)
                bar.note(f"iteration {winner.iteration}: score {winner.score:.4g}")
            bar.advance()
    return FoundNetworks(search.best(), tuple(search.family), evaluations, search.stopped)


def _number(score: Any) -> float:
    try:
        return float(score)
    except (TypeError, ValueError):
        raise UserError(f"the score function returned {score!r}, expected a number") from None
