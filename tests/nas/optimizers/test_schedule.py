import pytest

from nas.optimizers import Schedule
from search_spaces import UserError
from tests.nas.problems import tiny_problem, two_layer_problem


def test_the_steps_reach_the_budget_in_n_iterations():
    problem = two_layer_problem(14.0)  # the largest network costs 28
    schedule = Schedule.over(problem, iterations=3, decay=0.5)
    # ΔR_0 = 14 · 0.5 / (1 − 0.125) = 8, then 4, then 2
    assert schedule.steps == pytest.approx((8.0,))
    assert schedule.targets(1, [28.0]) == pytest.approx((20.0,))
    # counted from what the winner really costs
    assert schedule.targets(2, [19.0]) == pytest.approx((15.0,))
    assert schedule.targets(2, [16.0]) == (14.0,)
    assert schedule.targets(3, [15.9]) == (14.0,)


def test_equal_steps_without_decay():
    schedule = Schedule.over(two_layer_problem(14.0), iterations=7, decay=1.0)
    assert schedule.targets(1, [28.0]) == pytest.approx((26.0,))


def test_a_metric_within_its_budget_stays_there():
    problem = tiny_problem(0.5, params=1.0)
    schedule = Schedule.over(problem, iterations=4, decay=0.9)
    assert schedule.steps[1] == 0
    assert schedule.targets(1, [1e9, problem.budgets["params"] / 2])[1] == problem.budgets["params"]


def test_the_official_schedule_needs_as_many_iterations_as_its_steps_say():
    # Σ 2.5 % · 0.96^(i−1) passes 50 % in iteration 40: ln(1 − 20 · 0.04)/ln 0.96 = 39.4
    schedule = Schedule.initial(two_layer_problem(14.0), share=0.025, decay=0.96)
    assert schedule.iterations == 40
    assert schedule.steps == pytest.approx((0.7,))


def test_what_cannot_be_reached_is_refused_before_it_starts():
    # the smallest network: 8/8 + 64/256 + 8/16 = 1.75
    with pytest.raises(UserError, match=r"smallest network .* costs 1\.75 ms"):
        Schedule.over(two_layer_problem(1.7), iterations=3, decay=0.9)
    with pytest.raises(UserError, match=r"largest network .* costs 28 ms"):
        Schedule.over(two_layer_problem(28.0), iterations=3, decay=0.9)
    # 37.5 % of 28 is the best that the official schedule does
    with pytest.raises(UserError, match=r"end at 10\.5 ms at best"):
        Schedule.initial(two_layer_problem(10.4), share=0.025, decay=0.96)
    with pytest.raises(UserError, match="needs 40 iterations"):
        Schedule.initial(two_layer_problem(14.0), share=0.025, decay=0.96, iterations=30)
    for settings in ({"iterations": 0, "decay": 0.9}, {"iterations": 3, "decay": 1.1}):
        with pytest.raises(UserError):
            Schedule.over(two_layer_problem(14.0), **settings)
