"""Step 2: candidates, their scores, and the processes that find them."""

from nas.search.evaluators import (
    CandidateFailed,
    Evaluation,
    Evaluator,
    FineTuning,
    SharedWeights,
)
from nas.search.result import SearchResult
from nas.search.search import join_search, run_search
from nas.search.worker import Closed

__all__ = [
    "CandidateFailed",
    "Closed",
    "Evaluation",
    "Evaluator",
    "FineTuning",
    "SearchResult",
    "SharedWeights",
    "join_search",
    "run_search",
]
