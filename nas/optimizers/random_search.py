"""Random search, the baseline that every search has to beat."""

from __future__ import annotations

from optuna.samplers import BaseSampler, RandomSampler

from nas.optimizers.registry import register
from nas.optimizers.sampled import Sampled


@register
class RandomSearch(Sampled):
    """Every choice drawn uniformly, then fitted to the budgets. Arguments: `Sampled`."""

    name = "random"

    def sampler(self) -> BaseSampler:
        """Optuna's random sampler."""
        return RandomSampler(seed=self.problem.seed)
