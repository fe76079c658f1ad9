"""The commonest wish: a trained module goes in, a smaller one comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.optimizers import Candidate, Member, Problem
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import SearchSection
from nas.recipe.optimizers import open_optimizer
from nas.steps.find import ask_and_tell
from nas.steps.problem import problem_for
from nas.tracing import space_from_model
from search_spaces import UserError, limited
from search_spaces.limits import Minimum
from supernet import CompactNetwork
from supernet.pruning import reorder, shrink


def make_smaller(
    module: nn.Module,
    score: Callable[[nn.Module], float],
    budget: str = "50%",
    *,
    adapt: Callable[[nn.Module], object] | None = None,
    metric: str = "latency",
    device: str | None = None,
    table: Path | None = None,
    resolution: int | None = None,
    higher_is_better: bool = True,
    keep: Sequence[str] = (),
    multiple: int = 1,
    minimum: Minimum = 0,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter = SILENT,
) -> CompactNetwork:
    """Take filters out of a trained network until it keeps a budget, by classic NetAdapt.

    In every iteration each group of channels is made so much smaller alone that the step's target
    is met; the copy with the best score goes on (Yang et al., "NetAdapt", ECCV 2018, algorithm 1).

    Args:
        module: trained; images (N, C, H, W) to outputs. It is traced once and not changed.
        score: of a copy with fewer filters, in evaluation mode; images as the module takes them.
        budget: absolute with a unit (``30ms``, ``220M``) or a share of the module's cost.
        adapt: trains a copy in place for a short while before it is scored, as the paper does;
            without it filters are only taken away.
        metric: ``latency``, ``macs`` or ``params``.
        device: whose latency; this machine's by default, measured where it is not known yet.
        table: a latency table file in place of ``device``.
        resolution: of the input in pixels; the module's own where it is timm's, else 224.
        higher_is_better: False where a lower score is the better one.
        keep: names or patterns of layers whose widths stay (``nas describe`` lists them).
        multiple: widths are multiples of it, besides the largest.
        minimum: least width, in filters or as a share; for all, or by name or pattern.
        settings: of the optimizer `nas.optimizers.NetAdapt`: initial_reduction, decay, rule, ….
        reporter: shows progress.

    Returns:
        The smaller network in evaluation mode, with the weights of the last winner that keeps the
        budget; its ``network`` is the description. Train it on before use.

    Raises:
        UserError: the module cannot be described, or the budget cannot be reached.
    """
    space, state = space_from_model(module, resolution)
    space = limited(space, keep=keep, multiple=multiple, minimum=minimum)
    start = CompactNetwork(space.describe(space.largest()), initial=False)
    start.load_state_dict(state)
    section = SearchSection(metric=metric, budget=budget, device=device, table=table)
    problem = problem_for(space, section, higher_is_better=higher_is_better, reporter=reporter)
    search = open_optimizer("netadapt", problem, settings or {})
    weights = _Weights(start.eval(), problem, score, adapt)
    found = ask_and_tell(search, weights.evaluate, on_winner=weights.advance, reporter=reporter)
    if found.best is None:
        raise UserError(f"the search ended before its budget: {found.stopped}")
    return weights.within[found.best.iteration].eval()


class _Weights:
    """Weights that go from winner to winner."""

    def __init__(
        self,
        start: CompactNetwork,
        problem: Problem,
        score: Callable[[nn.Module], float],
        adapt: Callable[[nn.Module], object] | None,
    ) -> None:
        self.within: dict[int, CompactNetwork] = {}
        """Iteration → its winner, of those that keep every budget."""
        self._current = start
        self._budgets = problem.budgets
        self._space = problem.space
        self._score = score
        self._adapt = adapt
        self._copies: dict[int, CompactNetwork] = {}
        reorder(start, problem.space)

    def evaluate(self, candidate: Candidate) -> float:
        """The score of a copy that is cut to the candidate."""
        copy = shrink(self._current, self._space.describe(candidate.architecture))
        if self._adapt is not None and candidate.iteration > 0:
            self._adapt(copy.train())
        self._copies[candidate.slot] = copy.eval()
        with torch.no_grad():
            return self._score(copy)

    def advance(self, winner: Member) -> None:
        """Go on from the winner's weights, its filters ranked anew."""
        self._current = self._copies.pop(winner.slot)
        self._copies.clear()
        reorder(self._current, self._space)
        if all(winner.metrics[name] <= budget for name, budget in self._budgets.items()):
            self.within[winner.iteration] = self._current
