"""Does every search end within a budget that the space can keep? In random spaces, many of them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from nas.optimizers import Problem, Result, optimizer
from nas.progress import SILENT, Reporter
from search_spaces import Network, SearchSpace, UserError
from search_spaces.batch import Matrix, Vector
from search_spaces.choices import Choice, ChoiceKind

SEARCHES: dict[str, dict[str, Any]] = {
    "guided": {"samples": 4, "iterations": 8, "proposals": 32},
    "mcd, one layer": {"samples": 4, "iterations": 8, "layers": 1},
    "mcd": {"samples": 4, "iterations": 8},
    "netadapt": {"initial_reduction": 0.1, "decay": 1.0},
}


class TableCost:
    """A sum over the live choices of a random number for each value, and over pairs of
    neighbours of a product; about one choice in four has a value that costs more than a larger
    one.

    Args:
        space: of the architectures.
        name: of the metric.
        source: of the numbers.
        half: one choice costs about half of the whole.
    """

    unit = "ms"

    def __init__(
        self, space: SearchSpace, name: str, source: np.random.Generator, *, half: bool
    ) -> None:
        self.name = name
        self.identity = name
        self._choices = list(space.choices.values())
        names = list(space.choices)
        self._requires = [
            None if c.requires is None else names.index(c.requires) for c in self._choices
        ]
        self._tables = []
        for choice in self._choices:
            table = np.sort(source.uniform(0.05, 1.0, len(choice.values)))
            if source.random() < 0.25:
                table = source.permutation(table)
            self._tables.append(table)
        if half:
            heavy = int(source.integers(len(self._tables)))
            self._tables[heavy] = self._tables[heavy] * len(self._tables)
        self._products = source.uniform(0, 0.3, max(0, len(names) - 1))

    def of(self, network: Network) -> float:
        """Not needed: these spaces have no operations."""
        raise NotImplementedError

    def batch(self, rows: Matrix) -> Vector:
        """The cost of every row; shape (rows,)."""
        parts = np.empty(rows.shape)
        for i, (choice, table) in enumerate(zip(self._choices, self._tables, strict=True)):
            live: Any = 1.0 if self._requires[i] is None else rows[:, self._requires[i]] > 0
            parts[:, i] = table[np.searchsorted(choice.values, rows[:, i])] * live
        pairs = (parts[:, 1:] * parts[:, :-1]) @ self._products
        total: Vector = 0.1 + parts.sum(axis=1) + pairs
        return total


def random_space(source: np.random.Generator, *, coarse: bool) -> SearchSpace:
    """Choices without a network: two values each, or widths in steps of 8, of 2 to 16 units.

    Some units may lose all their filters; their second choice is then dead.
    """
    choices: dict[str, Choice] = {}
    for i in range(int(source.integers(2, 17))):
        width, second = f"unit{i}.width", f"unit{i}.{'kernel' if i % 3 == 0 else 'expansion'}"
        removable = bool(source.random() < 0.4)
        choices[width] = Choice(width, "width", _values(source, coarse=coarse, zero=removable))
        if source.random() < 0.5:
            kind: ChoiceKind = "kernel" if i % 3 == 0 else "expansion"
            values = (3, 5) if kind == "kernel" else _values(source, coarse=coarse, zero=False)
            choices[second] = Choice(second, kind, values, width if removable else None)
    return SearchSpace(
        name="random",
        settings={},
        nodes=(),
        choices=choices,
        units=(),
        outputs=(),
        input_channels=3,
        resolution=8,
        classes=2,
        embedded=True,
    )


def random_problem(seed: int, *, coarse: bool) -> Problem:
    """A random space with one or two budgets between its smallest and its largest network's cost;
    in every second one of them a choice costs about half of the whole.
    """
    source = np.random.default_rng([seed, int(coarse)])
    while True:
        space = random_space(source, coarse=coarse)
        names = ["first", "second"][: int(source.integers(1, 3))]
        metrics = tuple(
            TableCost(space, name, source, half=bool(source.random() < 0.5)) for name in names
        )
        problem = Problem(space, metrics, dict.fromkeys(names, 1.0), seed)
        least, most = problem.costs(problem.rows([space.smallest(), space.largest()]))
        if (least < most).all():
            shares = source.uniform(0, 1, len(names))
            limits = least + shares * (most - least)
            return Problem(space, metrics, dict(zip(names, limits.tolist(), strict=True)), seed)


def run(
    spaces: int = 100,
    optimizers: dict[str, dict[str, Any]] | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """How many searches end within their budgets, in random coarse and fine spaces.

    Args:
        spaces: how many, half of them coarse.
        optimizers: label to settings; a label's first word, up to a comma, names the optimizer.
    """
    if spaces < 2:
        raise UserError(f"spaces = {spaces}: at least 2 are needed, a coarse and a fine one")
    kinds = SEARCHES if optimizers is None else optimizers
    rows: list[dict[str, Any]] = []
    reached = 0
    with reporter.work("searches", spaces * len(kinds)) as bar:
        for label, settings in kinds.items():
            for coarse in (True, False):
                count = (spaces + 1) // 2 if coarse else spaces // 2
                started = time.perf_counter()
                found = [
                    _search(label, settings, random_problem(seed, coarse=coarse))
                    for seed in range(count)
                ]
                bar.advance(count)
                evaluations = [evaluated for _, evaluated in found]
                missed = [seed for seed, (within, _) in enumerate(found) if not within]
                reached += count - len(missed)
                rows.append(
                    {
                        "optimizer": label,
                        "spaces": "coarse" if coarse else "fine",
                        "searches": count,
                        "within_budget": count - len(missed),
                        "missed_seeds": missed,
                        "evaluations": float(np.mean(evaluations)),
                        "seconds": time.perf_counter() - started,
                    }
                )
    return {
        "name": "reach",
        "value": reached / (spaces * len(kinds)),
        "unit": "share of the searches",
        "details": {"rows": rows},
    }


def _search(label: str, settings: dict[str, Any], problem: Problem) -> tuple[bool, int]:
    """Whether the search's best network keeps the budgets, and how many were evaluated."""
    search = optimizer(label.partition(",")[0], problem, **settings)
    weights = np.random.default_rng([problem.seed, 9]).uniform(0, 1, len(problem.space.choices))
    evaluated = 0
    while candidates := search.ask():
        values = problem.rows([c.architecture for c in candidates])
        scores = np.sqrt(values) @ weights
        evaluated += len(candidates)
        search.tell([Result(c, float(s)) for c, s in zip(candidates, scores, strict=True)])
    best = search.best()
    if best is None:
        return False, evaluated
    costs = problem.costs(problem.rows([best.architecture]))[0]
    return bool((costs <= problem.limits()).all()), evaluated


def _values(source: np.random.Generator, *, coarse: bool, zero: bool) -> tuple[int, ...]:
    steps = int(source.integers(2, 17))
    largest = 8 * steps
    if coarse:
        small = 0 if zero else int(source.integers(1, largest))
        return (small, largest)
    return tuple(range(0 if zero else 8, largest + 1, 8))
