"""The guided descent: budgets are reached, results are what was told, and learning pays."""

import random

import numpy as np
import pytest

from nas.metrics import AdditiveMetric, params
from nas.optimizers import Guided, Problem, RandomSearch, Result
from nas.optimizers.surrogate import Encoding, Surrogate
from search_spaces import SearchSpace, UserError
from search_spaces.builder import GraphBuilder
from search_spaces.choices import Choice, Width
from tests.nas.problems import known_score, tiny_problem, two_layer_problem


def coarse_space(source: random.Random) -> SearchSpace:
    """A chain of convolutions; each has two to four widths far apart."""
    graph = GraphBuilder(input_channels=3, resolution=8, bypass=False)
    x = "input"
    largest = [source.choice([16, 64, 256]) for _ in range(source.randrange(2, 6))]
    for i, filters in enumerate(largest):
        x = graph.conv_unit(f"layer{i}", x, filters, kernel=3, activation="relu")
    x = graph.linear("classifier", graph.global_pool("pool", x), Width(10))
    space = graph.build("coarse", x, classes=10)
    choices = {}
    for name, choice in space.choices.items():
        kept = sorted({*source.sample(choice.values, min(2, len(choice.values))), choice.largest})
        choices[name] = Choice(name, choice.kind, tuple(kept), choice.requires)
    return SearchSpace(**{**space.__dict__, "choices": choices, "embedded": True})


def run(optimizer, score=known_score):
    told = []
    while candidates := optimizer.ask():
        results = [Result(c, score(c.architecture)) for c in candidates]
        told.append(results)
        optimizer.tell(results)
    return told


@pytest.mark.parametrize("seed", range(40))
def test_every_budget_that_the_smallest_network_keeps_is_reached(seed):
    source = random.Random(seed)
    space = coarse_space(source)
    cost = AdditiveMetric(space, "latency", "ms", lambda o: o.macs**0.8, "known numbers")
    metrics = (cost, params(space)) if seed % 2 else (cost,)
    budgets = {}
    for metric in metrics:
        least, most = (metric.of(space.describe(a)) for a in (space.smallest(), space.largest()))
        if least == most:
            pytest.skip("a space of one network")
        budgets[metric.name] = least + source.uniform(0, 0.95) * (most - least)
    problem = Problem(space, metrics, budgets, seed)
    optimizer = Guided(problem, samples=4, iterations=source.choice([1, 5, 12]), proposals=32)
    run(optimizer)
    best = optimizer.best()
    assert best is not None
    assert all(best.metrics[name] <= budget for name, budget in budgets.items())


def test_no_network_is_evaluated_twice_and_all_keep_their_targets():
    problem = tiny_problem(0.5, params=0.7)
    told = run(Guided(problem, samples=8, iterations=8, proposals=64))
    rows = [tuple(r.candidate.architecture.values()) for results in told for r in results]
    assert len(rows) == len(set(rows)) == 1 + 8 * 8
    for result in told[-1]:
        metrics = result.candidate.metrics
        assert all(metrics[name] <= budget for name, budget in problem.budgets.items())


def test_a_space_with_few_networks_ends_when_all_are_known():
    optimizer = Guided(two_layer_problem(20.0), samples=16, iterations=30)
    told = run(optimizer)
    assert optimizer.done and optimizer.stopped is None
    assert optimizer.best() is not None
    assert sum(map(len, told)) <= 64


def test_what_is_proposed_depends_on_nothing_but_what_was_told():
    problem = tiny_problem(0.5)
    first = Guided(problem, samples=8, iterations=6, proposals=64)
    told = run(first)
    second = Guided(problem, samples=8, iterations=6, proposals=64)
    for results in told:
        assert list(second.ask()) == [r.candidate for r in results]
        second.tell(list(reversed(results)))
    assert second.family == first.family


def test_failures_are_not_learned_from():
    problem = tiny_problem(0.5)
    optimizer = Guided(problem, samples=8, iterations=4, proposals=64)
    while candidates := optimizer.ask():
        optimizer.tell(
            [Result(c, None if c.slot % 2 else known_score(c.architecture)) for c in candidates]
        )
    assert optimizer.best() is not None


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_finds_more_than_random_search_with_as_many_evaluations(sign):
    """A score that is a sum over choices with some products, of either direction."""

    def scored(problem):
        weights = np.random.default_rng(7).uniform(0, 1, len(problem.space.choices))

        def score(architecture):
            values = np.array(
                [
                    architecture[name] / choice.largest
                    for name, choice in problem.space.choices.items()
                ]
            )
            return sign * float(weights @ np.sqrt(values) + values[::2].prod())

        return score

    found = {Guided: [], RandomSearch: []}
    for kind, scores in found.items():
        for seed in range(3):
            problem = tiny_problem(0.5, seed=seed)
            problem = Problem(
                problem.space, problem.metrics, problem.budgets, seed, higher_is_better=sign > 0
            )
            optimizer = kind(problem, samples=8, iterations=10)
            run(optimizer, scored(problem))
            scores.append(sign * optimizer.best().score)
    assert min(found[Guided]) > max(found[RandomSearch])


def test_the_model_learns_a_sum_of_choices_and_knows_what_it_does_not_know():
    space = tiny_problem(0.5).space
    source = random.Random(0)
    problem = tiny_problem(0.5)
    rows = problem.rows([space.random(source) for _ in range(200)])
    encoding = Encoding(space)
    weights = np.random.default_rng(0).normal(size=encoding(rows).shape[1])
    scores = encoding(rows) @ weights
    model = Surrogate(encoding(rows[:150]), scores[:150])
    mean, deviation = model.predict(encoding(rows[150:]))
    _, sure = model.predict(encoding(rows[:150]))
    assert np.corrcoef(mean, scores[150:])[0, 1] > 0.9
    assert sure.mean() < deviation.mean()


@pytest.mark.parametrize(
    "settings", [{"samples": 0}, {"tolerance": 1.0}, {"descent": 0.0}, {"exploration": -1.0}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UserError):
        Guided(tiny_problem(0.5), **settings)
