"""A search as a process of its own, with an evaluator that needs no weights.

``process.py FOLDER [--resume]`` starts or resumes one, ``process.py --study URL`` joins one. A
line is printed for every candidate whose evaluation begins, and one is read before it ends: who
holds the other end of standard input decides how far the search may go. Without one it goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from nas.optimizers import Candidate, Member, Optimizer, optimizer
from nas.search import CandidateFailed, Evaluation, join_search, run_search
from tests.nas.problems import known_score, tiny_problem

SETTINGS = {"samples": 8, "layers": 3, "iterations": 6}
GUIDED = {"samples": 6, "iterations": 4, "proposals": 64}


class KnownScores:
    """Scores that only the architecture and the winners so far decide; some candidates fail."""

    score_name = "accuracy"
    unit = "%"
    higher_is_better = True

    def __init__(self) -> None:
        self.winners: list[Member] = []

    def evaluate(self, candidate: Candidate) -> Evaluation:
        print(candidate.iteration, candidate.slot, flush=True)
        if __name__ == "__main__":
            sys.stdin.readline()
        if candidate.iteration and candidate.slot == 3:
            raise CandidateFailed("slot 3 always fails")
        # it carries state from winner to winner, as fine-tuning does
        assert len(self.winners) == candidate.iteration
        score = known_score(candidate.architecture) + len(self.winners) / 100
        return Evaluation(score, 1 - score / 100, 0.001, interval=(score - 1, score + 1))

    def advance(self, winner: Member) -> None:
        assert winner.iteration == len(self.winners)
        self.winners.append(winner)

    def describe(self) -> dict[str, Any]:
        return {"name": "known scores"}


def build(experiment: Any) -> tuple[Optimizer, KnownScores]:
    name = experiment.get("optimizer", "mcd")
    problem = tiny_problem(**{k: v for k, v in experiment.items() if k != "optimizer"})
    return optimizer(name, problem, **(SETTINGS if name == "mcd" else GUIDED)), KnownScores()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--storage")
    parser.add_argument("--study")
    parser.add_argument("--name")
    parser.add_argument("--optimizer", default="mcd")
    arguments = parser.parse_args()
    if arguments.study:
        join_search(arguments.study, build, name=arguments.name)
        return
    experiment = {"share": 0.6, "params": 0.9, "optimizer": arguments.optimizer}
    run_search(
        *build(experiment),
        arguments.folder,
        experiment=experiment,
        resume=arguments.resume,
        storage=arguments.storage,
        workers=arguments.workers,
        worker_command=(sys.executable, __file__),
    )


if __name__ == "__main__":
    main()
