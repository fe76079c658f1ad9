"""Step 2: candidates, their scores, and the processes that find them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.runs.results import SearchResult
from nas.search.evaluators import CandidateFailed, Evaluation, Evaluator
from nas.search.search import join_search, run_search
from nas.search.worker import Closed

if TYPE_CHECKING:
    from nas.search.evaluators.fine_tuning import FineTuning
    from nas.search.evaluators.shared_weights import SharedWeights

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


def __getattr__(name: str) -> Any:
    """The evaluators that need torch, imported when they are asked for."""
    if name == "SharedWeights":
        from nas.search.evaluators.shared_weights import SharedWeights

        return SharedWeights
    if name == "FineTuning":
        from nas.search.evaluators.fine_tuning import FineTuning

        return FineTuning
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
