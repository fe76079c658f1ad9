"""The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011)."""

from __future__ import annotations

from optuna.samplers import BaseSampler, TPESampler

from nas.optimizers.registry import register
from nas.optimizers.sampled import Sampled


@register
class TPE(Sampled):
    """Networks of an iteration are drawn at once, before any of their scores is known.

    Arguments: `Sampled`.
    """

    name = "tpe"

    def sampler(self) -> BaseSampler:
        """Optuna's TPE; its first iteration is random."""
        return TPESampler(n_startup_trials=self.samples, seed=self.problem.seed)
