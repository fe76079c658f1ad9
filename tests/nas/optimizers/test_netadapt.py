"""The first three iterations of classic NetAdapt, worked out by hand.

a has 64 filters, b has 64; latency = a/8 + a·b/256 + b/16, but a = 48 takes 9 in place of 6.
The largest network costs 8 + 16 + 4 = 28. The first step is 10 % of it, 2.8, and decays by 0.9.
"""

from dataclasses import replace

import pytest

from nas.optimizers import NetAdapt, Result, optimizer
from search_spaces import UserError
from tests.nas.problems import tiny_problem, two_layer_problem

WIDTHS = ("a.width", "b.width")


def proposals(candidates):
    return {
        c.slot: (*(c.architecture[name] for name in WIDTHS), c.metrics["latency"])
        for c in candidates
    }


def tell(netadapt, scores):
    return netadapt.tell([Result(c, scores[c.slot]) for c in netadapt.ask()])


def test_three_iterations_by_hand():
    netadapt = NetAdapt(two_layer_problem(14.0), initial_reduction=0.1, decay=0.9)
    assert netadapt.iterations == 7  # Σ_{i≤7} 0.9^(i−1) = 5.2 passes 14/2.8 = 5
    assert proposals(netadapt.ask()) == {0: (64, 64, 28.0)}
    tell(netadapt, {0: 81.0})

    # target 25.2: a = 56 costs 7 + 14 + 4; b = 56 costs 25.5, too much, b = 48 costs 8 + 12 + 3
    assert proposals(netadapt.ask()) == {0: (56, 64, 25.0), 1: (64, 48, 23.0)}
    assert tell(netadapt, {0: 78.0, 1: 79.0}).slot == 1

    # target 23 − 2.52 = 20.48: a = 56 costs 20.5, a = 48 costs 9 + 9 + 3, a = 40 costs 15.5;
    # b = 40 costs 20.5, b = 32 costs 8 + 8 + 2
    assert proposals(netadapt.ask()) == {0: (40, 48, 15.5), 1: (64, 32, 18.0)}
    assert tell(netadapt, {0: 70.0, 1: 77.0}).slot == 1

    # target 18 − 2.268 = 15.732: a = 40 costs 5 + 5 + 2; b = 24 costs 8 + 6 + 1.5
    assert proposals(netadapt.ask()) == {0: (40, 32, 12.0), 1: (64, 24, 15.5)}
    assert tell(netadapt, {0: 76.0, 1: 75.0}).slot == 0

    # 12 is within the budget of 14
    assert netadapt.done and netadapt.stopped is None
    assert [m.metrics["latency"] for m in netadapt.family] == [28.0, 23.0, 18.0, 12.0]
    assert netadapt.best() == netadapt.family[-1]


def test_the_ratio_rule_weighs_what_was_saved():
    def winner(rule):
        netadapt = NetAdapt(two_layer_problem(14.0), initial_reduction=0.1, decay=0.9, rule=rule)
        tell(netadapt, {0: 81.0})
        # (81 − 79)/(28 − 25) = 0.67 against (81 − 78)/(28 − 23) = 0.6
        return tell(netadapt, {0: 79.0, 1: 78.0}).slot

    assert winner("accuracy") == 0
    assert winner("ratio") == 1


def test_random_proposals_are_those_of_the_descent():
    def family(seed):
        problem = replace(two_layer_problem(14.0), seed=seed)
        netadapt = NetAdapt(problem, initial_reduction=0.1, decay=0.9, rule="random")
        full = NetAdapt(problem, initial_reduction=0.1, decay=0.9)
        while not netadapt.done:
            (only,) = netadapt.ask()
            assert only in full.ask()
            tell(netadapt, {only.slot: 50.0})
            tell(full, {c.slot: 1.0 if c.slot == only.slot else 0.0 for c in full.ask()})
        return [m.slot for m in netadapt.family]

    assert family(0) == family(0)
    assert len({tuple(family(seed)) for seed in range(8)}) > 1


def test_a_proposal_that_failed_is_dropped():
    netadapt = NetAdapt(two_layer_problem(14.0), initial_reduction=0.1, decay=0.9)
    tell(netadapt, {0: 81.0})
    assert tell(netadapt, {0: float("nan"), 1: 10.0}).slot == 1
    assert tell(netadapt, {0: None, 1: None}) is None
    assert netadapt.done and "all 2 candidates failed" in netadapt.stopped


def test_a_step_that_no_single_group_can_make_shrinks_others_after_its_own():
    # one step of 90 %: target 2.8, so the budget 3; a = 8 alone still costs 1 + 2 + 4, b = 8
    # alone 8 + 2 + 0.5, and there are only two groups
    netadapt = NetAdapt(two_layer_problem(3.0), initial_reduction=0.9, decay=0.9)
    tell(netadapt, {0: 81.0})
    found = proposals(netadapt.ask())
    assert set(found) <= {0, 1}
    for a, b, latency in found.values():
        assert a < 64 and b < 64 and a % 8 == b % 8 == 0
        assert latency == a / 8 + a * b / 256 + b / 16 <= 3
    tell(netadapt, dict.fromkeys(found, 70.0))
    assert netadapt.done and netadapt.stopped is None and netadapt.best() is not None


def test_widths_are_no_multiples_only_where_multiples_cannot_keep_the_budget():
    # multiples of 32 end at a = b = 32: 4 + 4 + 2 = 10
    for budget, on_grid in ((10.0, True), (9.9, False)):
        problem = two_layer_problem(budget)
        netadapt = NetAdapt(problem, initial_reduction=0.3, decay=1.0, multiple=32)
        while candidates := netadapt.ask():
            netadapt.tell([Result(c, 50.0 + c.slot) for c in candidates])
        best = netadapt.best()
        assert best.metrics["latency"] <= budget
        assert all(best.architecture[name] % 32 == 0 for name in WIDTHS) == on_grid


def test_spaces_with_bypass_are_refused():
    with pytest.raises(UserError, match="bypass: false"):
        optimizer("netadapt", tiny_problem())
