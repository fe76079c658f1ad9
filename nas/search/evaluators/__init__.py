"""Who scores candidates: shared weights, or short fine-tuning. Importing this needs no torch."""

from nas.search.evaluators.base import CandidateFailed, Evaluation, Evaluator

__all__ = ["CandidateFailed", "Evaluation", "Evaluator"]
