"""The loop of one process of a search: claim a candidate, evaluate it, store its score.

Every process has its own optimizer and is told every result, so all propose the same candidates
and whichever sees an iteration complete opens the next one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nas.optimizers.base import Candidate, Member, Optimizer, Result
from nas.search.evaluators.base import CandidateFailed, Evaluation, Evaluator
from nas.search.record import RENEW_SECONDS, Record
from nas.search.rows import Slot
from nas.search.worker_names import this_worker
from nas.urls import shown
from search_spaces import UserError

POLL_SECONDS = (0.05, 1.0)
"""How long to wait for other workers' candidates before looking again: at first, at most."""


@dataclass(frozen=True)
class Closed:
    """An iteration that is complete: its winner (None where all failed) and all results.

    ``seconds`` is what its evaluations took, of all workers together; ``known`` is True where
    this process found it complete and evaluated nothing of it.
    """

    iteration: int
    winner: Member | None
    slots: Sequence[Slot]
    seconds: float
    known: bool


OnIteration = Callable[[Closed], None]
OnCandidate = Callable[[Slot], None]


class Worker:
    """Works on one search until it is done or ``stop`` says so.

    Args:
        record: of the search.
        optimizer: a fresh one; it is told what is recorded.
        evaluator: scores the candidates.
        on_iteration: called for every complete iteration, in order, recorded ones included.
        on_candidate: called for every candidate that this process has evaluated.
        stop: asked between candidates.
    """

    def __init__(
        self,
        record: Record,
        optimizer: Optimizer,
        evaluator: Evaluator,
        *,
        on_iteration: OnIteration = lambda closed: None,
        on_candidate: OnCandidate = lambda slot: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.record = record
        self.optimizer = optimizer
        self.evaluator = evaluator
        self.on_iteration = on_iteration
        self.on_candidate = on_candidate
        self.stop = stop
        self.name = this_worker()
        self.evaluating = 0.0
        """Seconds that this process spent in the evaluator."""
        self._claimed: int | None = None

    def run(self) -> bool:
        """Work; True when the search is done, False when `stop` ended it.

        Raises:
            UserError: what is recorded is not what the optimizer proposes.
        """
        with self._renewing():
            while candidates := self.optimizer.ask():
                iteration = self.optimizer.iteration
                self.record.open_iteration(iteration, candidates, self.optimizer.problem.space)
                slots = self._evaluate_all(iteration, candidates)
                if slots is None:
                    return False
        return True

    def _evaluate_all(self, iteration: int, candidates: Sequence[Candidate]) -> list[Slot] | None:
        by_slot = {candidate.slot: candidate for candidate in candidates}
        known, pause = True, POLL_SECONDS[0]
        while True:
            slots = self.record.slots(iteration)
            self._check(by_slot, slots)
            open_slots = [slot for slot in slots.values() if not slot.finished]
            if not open_slots:
                break
            known = False
            worked = False
            while not self.stop() and (claimed := self.record.claim(open_slots, self.name)):
                self._evaluate(claimed, by_slot[claimed.slot])
                worked = True
            if self.stop():
                return None
            if worked:
                pause = POLL_SECONDS[0]
            elif not self.record.free_expired(open_slots, worker=self.name):
                # jitter: workers that wait for the same candidate do not ask in step
                time.sleep(pause * random.uniform(0.5, 1))
                pause = min(POLL_SECONDS[1], 2 * pause)
        results = [Result(by_slot[s.slot], s.score, s.loss) for s in slots.values()]
        winner = self.optimizer.tell(results)
        if winner is not None:
            self.evaluator.advance(winner)
        spent = sum(slot.seconds for slot in slots.values())
        self.on_iteration(Closed(iteration, winner, list(slots.values()), spent, known))
        return list(slots.values())

    def _evaluate(self, slot: Slot, candidate: Candidate) -> None:
        self._claimed = slot.trial
        started = time.perf_counter()
        try:
            evaluation = self.evaluator.evaluate(candidate)
        except CandidateFailed as failure:
            seconds = time.perf_counter() - started
            self.record.fail(slot, str(failure), seconds)
        except BaseException:
            # interrupted or broken: nobody has to wait for this claim to expire
            self.record.release(slot)
            raise
        else:
            seconds = time.perf_counter() - started
            self._store(slot, candidate, evaluation)
        finally:
            self._claimed = None
        self.evaluating += seconds
        self.on_candidate(slot)

    def _store(self, slot: Slot, candidate: Candidate, evaluation: Evaluation) -> None:
        if Result(candidate, evaluation.score, evaluation.loss).failed:
            self.record.fail(slot, "the score or the loss is not finite", evaluation.seconds)
            return
        metric = candidate.metrics[self.optimizer.problem.metrics[0].name]
        self.record.complete(slot, evaluation, metric)

    def _check(self, asked: dict[int, Candidate], recorded: dict[int, Slot]) -> None:
        same = asked.keys() == recorded.keys() and all(
            dict(asked[slot].architecture) == recorded[slot].choices for slot in asked
        )
        if not same:
            raise UserError(
                f"{shown(self.record.url)}: iteration {self.optimizer.iteration} of study "
                f"{self.record.name!r} holds other candidates than these settings propose; "
                "use another --out or --name"
            )

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Renew the claim in hand from a thread of its own."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(RENEW_SECONDS):
                trial = self._claimed
                if trial is not None:
                    try:
                        self.record.renew(trial)
                    except Exception:  # the next renewal may succeed; storing a score tells
                        continue

        thread = threading.Thread(target=renew, name="renew-claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
