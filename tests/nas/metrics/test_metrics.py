import random

import numpy as np
import pytest

from lut import open_cost_model
from nas.metrics import (
    AdditiveMetric,
    UserMetric,
    macs,
    params,
    parse_budget,
    split_budgets,
)
from nas.optimizers import Problem
from nas.recipe.experiment import PhonesSection
from nas.recipe.metrics import open_metric
from search_spaces import UserError, space

FUNCTION = """
def weighted(network):
    return sum(o.macs for o in network.operations) + 3 * len(network.operations)
weighted.unit = "J"

def broken(network):
    return float("nan")
"""


@pytest.fixture(scope="module")
def tiny():
    return space("mobilenet_v3_tiny", resolution=16)


def test_a_batch_costs_what_its_networks_cost(tiny, tmp_path):
    (tmp_path / "cost.py").write_text(FUNCTION)
    own = open_metric("energy2", tiny, functions={"energy2": "cost.py:weighted"}, folder=tmp_path)
    price = AdditiveMetric(tiny, "latency", "ms", lambda o: 0.01 + 1e-6 * o.macs, "id")
    memory = open_metric("peak_memory", tiny)
    metrics = (macs(tiny), params(tiny), price, own, memory)
    problem = Problem(tiny, metrics, {m.name: 1.0 for m in metrics})
    source = random.Random(0)
    architectures = [tiny.random(source) for _ in range(20)] + [tiny.smallest(), tiny.largest()]
    rows = problem.rows(architectures)
    for m in metrics:
        single = [m.of(tiny.describe(a)) for a in architectures]
        np.testing.assert_allclose(m.batch(rows), single, rtol=1e-12)
    assert own.unit == "J"
    small = open_metric("peak_memory", tiny, precision="int8")
    assert small.identity != memory.identity
    assert small.batch(rows)[0] < 0.3 * memory.batch(rows)[0]


def test_phones_are_the_worst_or_mean_ratio_to_the_budget_of_each(tiny):
    budgets = {"pixel4-cpu": "50%", "iphone-xs-gpu": "2ms", "galaxy-a03s-cpu-int8": "70%"}
    metric = {
        reduce: open_metric(
            "phones",
            tiny,
            cost_model=open_cost_model,
            phones=PhonesSection(budgets=budgets, reduce=reduce),
        )
        for reduce in ("worst", "mean")
    }
    assert metric["worst"].identity != metric["mean"].identity
    source = random.Random(0)
    architectures = [tiny.random(source) for _ in range(10)] + [tiny.largest()]
    problem = Problem(tiny, (metric["worst"],), {"phones": 1.0})
    rows = problem.rows(architectures)
    found = {reduce: m.batch(rows) for reduce, m in metric.items()}
    for i, architecture in enumerate(architectures):
        network = tiny.describe(architecture)
        ratios = []
        for device, text in budgets.items():
            latency = open_metric(f"latency@{device}", tiny, cost_model=open_cost_model)
            limit = parse_budget(text, latency, latency.of(tiny.describe(tiny.largest())))
            ratios.append(latency.of(network) / limit)
        for reduce, expected in (("worst", max(ratios)), ("mean", np.mean(ratios))):
            assert found[reduce][i] == pytest.approx(expected, rel=1e-9)
            assert metric[reduce].of(network) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(UserError, match=r"search\.phones\.budgets"):
        open_metric("phones", tiny, cost_model=open_cost_model)
    with pytest.raises(UserError, match="did you mean 'pixel4-cpu'"):
        open_metric(
            "phones",
            tiny,
            cost_model=open_cost_model,
            phones=PhonesSection(budgets={"pixel4-cpy": "50%"}),
        )
    with pytest.raises(UserError, match="budget latency@pixel4-cpu=30MB"):
        open_metric(
            "phones",
            tiny,
            cost_model=open_cost_model,
            phones=PhonesSection(budgets={"pixel4-cpu": "30MB"}),
        )


def test_a_user_metric_says_what_is_wrong(tiny, tmp_path):
    (tmp_path / "cost.py").write_text(FUNCTION)
    functions = {"bad": "cost.py:broken", "typo": "cost.py:weigthed", "gone": "no.py:f"}
    with pytest.raises(UserError, match="positive, finite"):
        open_metric("bad", tiny, functions=functions, folder=tmp_path).of(
            tiny.describe(tiny.largest())
        )
    with pytest.raises(UserError, match="did you mean 'weighted'"):
        open_metric("typo", tiny, functions=functions, folder=tmp_path)
    with pytest.raises(UserError, match="there is no file"):
        open_metric("gone", tiny, functions=functions, folder=tmp_path)
    with pytest.raises(UserError, match="did you mean 'latency'"):
        open_metric("latencie", tiny)
    with pytest.raises(UserError, match="--device"):
        open_metric("latency@pixel4-cpu", tiny)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("30ms", "ms", 30.0),
        ("0.03 s", "ms", 30.0),
        ("1500us", "ms", 1.5),
        ("12", "ms", 12.0),
        ("50%", "ms", 40.0),
        ("220M", "MACs", 220e6),
        ("1.5G", "MACs", 1.5e9),
        ("512kB", "B", 512e3),
        ("2 MiB", "B", 2 * 2**20),
        ("100000", "B", 1e5),
        ("3e5", "params", 3e5),
        ("7mJ", "mJ", 7.0),
    ],
)
def test_budgets_are_absolute(tiny, text, unit, value):
    m = AdditiveMetric(tiny, "m", unit, lambda o: 1.0, "")
    assert parse_budget(text, m, 80.0) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "fast", "-3ms", "0", "150%", "30MB", "30kg", "ms"])
def test_budgets_that_mean_nothing_are_refused(tiny, text):
    m = AdditiveMetric(tiny, "m", "ms", lambda o: 1.0, "")
    with pytest.raises(UserError, match="budget m="):
        parse_budget(text, m, 80.0)


def test_budgets_are_sorted_by_metric():
    found = split_budgets("latency", ["params=5M", "30ms", "latency@pixel6-cpu=12ms"])
    assert list(found.items()) == [
        ("latency", "30ms"),
        ("params", "5M"),
        ("latency@pixel6-cpu", "12ms"),
    ]
    with pytest.raises(UserError, match="two budgets for latency"):
        split_budgets("latency", ["30ms", "latency=20ms"])
    with pytest.raises(UserError, match="no budget for latency"):
        split_budgets("latency", ["params=5M"])


def test_a_user_metric_calls_its_function_once_a_network(tiny):
    calls = []

    def function(network):
        calls.append(network.macs)
        return network.macs

    m = UserMetric(tiny, "m", function)
    rows = Problem(tiny, (m,), {"m": 1.0}).rows([tiny.largest(), tiny.smallest(), tiny.largest()])
    m.batch(rows)
    m.batch(rows)
    assert len(calls) == 2
