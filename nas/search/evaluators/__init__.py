"""Who scores candidates: the shared weights, or short fine-tuning."""

from nas.search.evaluators.base import CandidateFailed, Evaluation, Evaluator
from nas.search.evaluators.fine_tuning import FineTuning
from nas.search.evaluators.shared_weights import SharedWeights

__all__ = ["CandidateFailed", "Evaluation", "Evaluator", "FineTuning", "SharedWeights"]
