"""Every budget that a space can keep is accepted and reached; others are refused."""

import numpy as np
import pytest

from nas.benchmarks import reach, run
from nas.optimizers import MCD, Guided, NetAdapt, Problem, RandomSearch, Result
from nas.optimizers.reachable import check_budgets, end_network
from search_spaces import UserError
from tests.nas.problems import two_layer_problem


def test_searches_end_within_random_budgets_of_random_spaces():
    result = run("reach", {"spaces": 6})
    rows = result["details"]["rows"]
    assert {row["optimizer"] for row in rows} == set(reach.SEARCHES)
    assert {row["spaces"] for row in rows} == {"coarse", "fine"}
    assert [row["missed_seeds"] for row in rows] == [[]] * len(rows)
    assert result["value"] == 1.0


class Bent:
    """Cheapest where a is widest and b narrowest; the smallest network costs more than that."""

    name, unit, identity = "bent", "ms", "bent"

    def batch(self, rows):
        return 10.0 - rows[:, 0] / 16 + rows[:, 1] / 8


def bent(budget):
    return Problem(two_layer_problem(14.0).space, (Bent(),), {"bent": budget})


def test_a_budget_is_accepted_where_another_network_than_the_smallest_keeps_it():
    # smallest 8, 8: 10.5; largest 64, 64: 14; cheapest 64, 8: 7
    assert check_budgets(bent(7.5)) == [14.0]
    assert end_network(bent(7.0)).tolist() == [64, 8]
    assert end_network(bent(10.5)).tolist() == [8, 8]
    with pytest.raises(UserError, match=r"cannot be reached: the cheapest network found .* 7 ms"):
        check_budgets(bent(6.9))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Guided, {"samples": 4, "iterations": 3}),
        (MCD, {"samples": 4, "iterations": 3}),
        (NetAdapt, {"initial_reduction": 0.3, "decay": 1.0}),
        (RandomSearch, {"samples": 4, "iterations": 2}),
    ],
)
def test_such_a_budget_is_reached(kind, settings):
    problem = bent(7.1)
    search = kind(problem, **settings)
    while candidates := search.ask():
        rows = problem.rows([c.architecture for c in candidates])
        assert np.array_equal(problem.costs(rows)[:, 0], [c.metrics["bent"] for c in candidates])
        search.tell([Result(c, float(c.slot)) for c in candidates])
    assert search.stopped is None
    assert search.best().metrics["bent"] <= 7.1
