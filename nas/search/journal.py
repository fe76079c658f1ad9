"""What a search tells of itself while it goes on, and what it sums up in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from nas.metrics.additive import AdditiveMetric
from nas.metrics.budgets import show
from nas.optimizers.base import Member, Optimizer
from nas.progress import Bar, Reporter
from nas.runs.results import Budget, FamilyMember, SearchResult
from nas.search.evaluators.base import Evaluator
from nas.search.rows import Slot
from nas.search.worker import Closed
from nas.tasks.score import Interval, Score


class Journal:
    """Hears of every candidate and every complete iteration, recorded ones included.

    Args:
        optimizer: of the search.
        evaluator: whose scores are told.
        events: TensorBoard's.
        bar: shows how much is done; a descent may end before its last iteration.
        reporter: hears of candidates that were dropped.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        evaluator: Evaluator,
        events: SummaryWriter,
        bar: Bar,
        reporter: Reporter,
    ) -> None:
        self.optimizer = optimizer
        self.evaluator = evaluator
        self.events = events
        self.bar = bar
        self.reporter = reporter
        self.evaluations = 0
        self.failures = 0
        self.seconds = 0.0
        """Of the evaluations, all workers together."""
        self._beside: dict[tuple[int, int], Score] = {}
        self._intervals: dict[tuple[int, int], Interval] = {}
        self._done = 0.0

    def evaluated(self, slot: Slot) -> None:
        """This process has evaluated a candidate."""
        self._advance(self._done + self._share / len(self.optimizer.ask()))

    def closed(self, iteration: Closed) -> None:
        """An iteration is complete."""
        failed = [slot for slot in iteration.slots if slot.score is None]
        self.failures += len(failed)
        self.evaluations += len(iteration.slots) - len(failed)
        self.seconds += iteration.seconds
        for slot in failed if not iteration.known else ():
            self.reporter.warn(
                f"iteration {slot.iteration}, slot {slot.slot}: dropped ({slot.error})"
            )
        if iteration.winner is not None:
            self._won(iteration.winner, iteration)
        self._advance((iteration.iteration + 1) * self._share)

    def ended(self) -> None:
        """The search is done."""
        self._advance(1.0)

    def result(
        self, name: str, seconds: Mapping[str, float], facts: Mapping[str, Any]
    ) -> SearchResult:
        """What the search came to.

        Args:
            name: of the search.
            seconds: of the whole and of its parts, beside the evaluations.
            facts: fields that every result has.
        """
        optimizer = self.optimizer
        problem, best = optimizer.problem, optimizer.best()
        expected = optimizer.expected(optimizer.family)
        tables = {
            metric.name: {"identity": metric.identity, **asdict(metric.device)}
            for metric in problem.metrics
            if isinstance(metric, AdditiveMetric) and metric.device is not None
        }
        return SearchResult(
            **facts,
            name=name,
            optimizer=optimizer.name,
            settings=optimizer.settings(),
            space_fingerprint=problem.space.fingerprint,
            budgets={
                m.name: Budget(float(problem.budgets[m.name]), m.unit) for m in problem.metrics
            },
            table=next(iter(tables.values()), None),
            tables=tables,
            family=tuple(map(self._stored, optimizer.family, expected)),
            best=None if best is None else self._stored(best, optimizer.expected([best])[0]),
            stopped=optimizer.stopped,
            evaluations=self.evaluations,
            failures=self.failures,
            seconds={**seconds, "evaluation": self.seconds},
            seed=problem.seed,
        )

    @property
    def _share(self) -> float:
        """One iteration's of the whole."""
        return 1 / (self.optimizer.iterations + 1)

    def _advance(self, done: float) -> None:
        """So large a part of the search is done."""
        if done > self._done:
            self.bar.advance(min(1.0, done) - self._done)
            self._done = min(1.0, done)

    def _won(self, winner: Member, iteration: Closed) -> None:
        at, metrics = winner.iteration, self.optimizer.problem.metrics
        own = next(slot for slot in iteration.slots if slot.slot == winner.slot)
        scores = [slot.score for slot in iteration.slots if slot.score is not None]
        scalars: dict[str, float] = {
            "score": winner.score,
            "loss": winner.loss,
            "mean_score": sum(scores) / len(scores),
            "failures": len(iteration.slots) - len(scores),
            "evaluation_seconds": iteration.seconds,
            **{metric.name: winner.metrics[metric.name] for metric in metrics},
        }
        if own.beside is not None:
            self._beside[at, own.slot] = Score(**own.beside)
            scalars["beside"] = self._beside[at, own.slot].value
        if own.interval is not None:
            low, high = own.interval
            self._intervals[at, own.slot] = (low, high)
        for name, value in scalars.items():
            self.events.add_scalar(f"search/{name}", value, at)
        cost = show(metrics[0], winner.metrics[metrics[0].name])
        self.bar.note(
            f"iteration {at}: {self.evaluator.score_name} {winner.score:.4g}, "
            f"{metrics[0].name} {cost}"
        )

    def _stored(self, member: Member, expected: float | None) -> FamilyMember:
        score = Score(
            self.evaluator.score_name,
            member.score,
            self.evaluator.unit,
            self.evaluator.higher_is_better,
            "holdout",
        )
        return FamilyMember(
            iteration=member.iteration,
            slot=member.slot,
            score=score,
            beside=self._beside.get((member.iteration, member.slot)),
            interval=self._intervals.get((member.iteration, member.slot)),
            expected=expected,
            loss=member.loss,
            metrics=dict(member.metrics),
            architecture=member.architecture,
        )
