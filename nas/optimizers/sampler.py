"""Multi-layer coordinate descent as a sampler of Optuna, for studies of the user's own."""

from __future__ import annotations

import threading
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from nas.optimizers.base import Candidate, Problem, Result
from nas.optimizers.mcd import MCD

KEY = "mcd"
"""The system attribute that holds a trial's (iteration, slot)."""


class MCDSampler(BaseSampler):
    """Samples the choices of a search space by `MCD`; the objective value is the score.

    The study's direction must agree with ``problem.higher_is_better``. Other parameters that the
    objective suggests are drawn at random. When the descent is done the study is stopped, and
    trials that are still sampled repeat the last winner.

    >>> sampler = MCDSampler(problem)                                    # doctest: +SKIP
    >>> study = optuna.create_study(direction="maximize", sampler=sampler)  # doctest: +SKIP
    >>> study.optimize(lambda trial: train(sampler.architecture(trial)), n_trials=200)
    ... # doctest: +SKIP

    Args:
        problem: space, metrics, budgets and seed.
        settings: of `MCD`.
    """

    def __init__(self, problem: Problem, **settings: Any) -> None:
        self.problem = problem
        self._settings = settings
        self._optimizer = MCD(problem, **settings)
        self._lock = threading.Lock()  # n_jobs of a study are threads
        self._independent = RandomSampler(seed=problem.seed)

    def architecture(self, trial: Any) -> dict[str, int]:
        """Suggest every choice of the space in an objective; the architecture's values."""
        return {
            name: trial.suggest_categorical(name, list(choice.values))
            for name, choice in self.problem.space.choices.items()
        }

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All choices of the space at once."""
        return {
            name: CategoricalDistribution(list(choice.values))
            for name, choice in self.problem.space.choices.items()
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of the first candidate of the current iteration that nobody evaluates."""
        with self._lock:
            candidate = self._next(study)
            if candidate is None:
                if _optimizing(study):
                    study.stop()
                return dict(self._optimizer.family[-1].architecture)
            study._storage.set_trial_system_attr(
                trial._trial_id, KEY, [candidate.iteration, candidate.slot]
            )
            return dict(candidate.architecture)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Parameters that are no choices of the space, at random."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _next(self, study: Study) -> Candidate | None:
        while candidates := self._optimizer.ask():
            iteration = self._optimizer.iteration
            results: dict[int, Result] = {}
            taken = set()
            by_slot = {candidate.slot: candidate for candidate in candidates}
            for trial in study.get_trials(deepcopy=False):
                key = trial.system_attrs.get(KEY)
                if key is None or key[0] != iteration:
                    continue
                slot = key[1]
                if trial.state == TrialState.COMPLETE:
                    # the first complete trial of a slot counts
                    results.setdefault(slot, Result(by_slot[slot], trial.values[0]))
                elif trial.state in (TrialState.FAIL, TrialState.PRUNED):
                    results.setdefault(slot, Result(by_slot[slot], None))
                else:
                    taken.add(slot)
            waiting = [c for c in candidates if c.slot not in results and c.slot not in taken]
            if waiting:
                return waiting[0]
            unfinished = [c for c in candidates if c.slot not in results]
            if unfinished:
                # all are under way elsewhere: the first to complete counts
                return unfinished[0]
            self._optimizer.tell(list(results.values()))
        return None


def _optimizing(study: Study) -> bool:
    return bool(getattr(study._thread_local, "in_optimize_loop", False))
