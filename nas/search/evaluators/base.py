"""The contract of an evaluator: it scores candidates and owns whatever weights that takes.

One shares its weights between all candidates and is never changed (`SharedWeights`); one carries
weights from winner to winner (`FineTuning`). Evaluations of one iteration are independent of each
other and may run in any order, in any process, and twice; the same candidate after the same
winners always gets the same score (on equal hardware with equal threads).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nas.optimizers.base import Candidate, Member


@dataclass(frozen=True)
class Evaluation:
    """``score`` and mean ``loss`` on the hold-out split, and the ``seconds`` it took.

    ``beside`` is the task's second figure, as plain JSON types; None where it has none.
    ``interval`` is the score's 95 % interval; None where the task does not say.
    """

    score: float
    loss: float
    seconds: float
    beside: Mapping[str, Any] | None = None
    interval: tuple[float, float] | None = None


class CandidateFailed(Exception):  # noqa: N818 - an outcome: the search goes on without it
    """This candidate has no score; the message says why."""


class Evaluator(Protocol):
    """Scores candidates on the hold-out split.

    ``score_name``, ``unit`` and ``higher_is_better`` describe the score.
    """

    score_name: str
    unit: str
    higher_is_better: bool

    def evaluate(self, candidate: Candidate) -> Evaluation:
        """The candidate's score.

        Raises:
            CandidateFailed: it has none (a loss that is not finite).
        """
        ...

    def advance(self, winner: Member) -> None:
        """Go on from this winner; called once an iteration, in order, also when resuming."""
        ...

    def describe(self) -> dict[str, Any]:
        """What decides the scores beside the candidate, as plain JSON types.

        A search is resumed, and joined by workers, only where this is equal.
        """
        ...
