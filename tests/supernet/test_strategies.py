"""What strategies draw, and what they refuse."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import SearchSpace, UserError, space
from supernet import Supernet
from supernet.strategies import OrderedDropout, Sandwich, names, strategy
from supernet.strategies.drawing import Drawing, in_runs

TINY = space("mobilenet_v3_tiny", resolution=8)
FULL = {name: choice.largest for name, choice in TINY.choices.items()}


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    low=st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0]),
    widen=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    warmup=st.sampled_from([0.0, 0.2]),
    progress=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_draws_stay_within_the_range(
    low: float, widen: float, warmup: float, progress: float, seed: int
) -> None:
    drawing = Drawing(low=low, widen=widen, warmup=warmup, keep=0.0)
    lowest = drawing.lowest(progress)
    assert low <= lowest <= 1
    assert drawing.lowest(min(1.0, progress + 0.1)) <= lowest
    values = drawing.draw(TINY, progress, Random(seed))
    assert TINY.canonical(values) == values
    assert all(v >= lowest * FULL[n] and v in TINY.choices[n].values for n, v in values.items())
    if progress < warmup or (progress == 0 and widen > 0):
        assert values == FULL
    assert drawing.draw(TINY, progress, Random(seed)) == values


@pytest.mark.parametrize("low", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("keep", [0.0, 0.5, "network"])
def test_the_whole_range_is_reached_in_the_end(low: float, keep: float | str) -> None:
    drawing = Drawing(low=low, keep=keep, warmup=0.1)  # type: ignore[arg-type]
    source = Random(0)
    seen: dict[str, set[int]] = {name: set() for name in FULL}
    for _ in range(3000):
        for name, value in drawing.draw(TINY, 1.0, source).items():
            seen[name].add(value)
    for name, choice in TINY.choices.items():
        # the value that is exactly the share ``low`` of the largest is drawn too
        assert seen[name] == {v for v in choice.values if v >= low * choice.largest}, name
    assert drawing.smallest_of(TINY, 1.0) == TINY.canonical(
        {n: min(v for v in c.values if v >= low * c.largest) for n, c in TINY.choices.items()}
    )


def kernels(of: SearchSpace) -> list[str]:
    return [name for name, choice in of.choices.items() if choice.kind == "kernel"]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), groups=st.integers(1, 12))
def test_kernels_are_dealt_in_runs(seed: int, groups: int) -> None:
    source = Random(seed)
    of = space("mobilenet_v3", resolution=32)
    drawn = [of.canonical(of.random(source)) for _ in range(groups)]
    dealt = in_runs(of, [dict(values) for values in drawn], Random(seed))
    for name in kernels(of):
        live = [v[name] for v in dealt if of.live(name, v)]
        before = [v[name] for v in drawn if of.live(name, v)]
        assert Counter(live) == Counter(before)
        changes = sum(a != b for a, b in pairwise(live))
        assert changes == max(0, len(set(live)) - 1)
    # nothing else changes, and removed units keep their fixed kernel
    for a, b in zip(drawn, dealt, strict=True):
        assert of.canonical(b) == b
        assert all(a[n] == b[n] for n in of.choices if n not in kernels(of) or not of.live(n, a))


def test_removed_units_do_not_crowd_out_small_kernels() -> None:
    name = "stage3.block2.kernel"
    source = Random(0)
    drawn, dealt = Counter[int](), Counter[int]()
    for _ in range(200):
        some = [TINY.canonical(TINY.random(source)) for _ in range(8)]
        drawn.update(v[name] for v in some if TINY.live(name, v))
        dealt.update(v[name] for v in in_runs(TINY, some, source) if TINY.live(name, v))
    assert dealt == drawn


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return Supernet(TINY)


@pytest.mark.parametrize("smallest", [0, 1])
@pytest.mark.parametrize("mode", ["mixed", "largest"])
def test_groups_of_ordered_dropout(supernet: Supernet, smallest: int, mode: str) -> None:
    chosen = OrderedDropout(groups=6, largest=2, smallest=smallest, kernels=mode, low=0.25)  # type: ignore[arg-type]
    assignment = chosen.assignment(supernet, 24, 1.0, Random(3))
    groups = assignment.groups
    assert len(groups) == 6 and assignment.statistics == "own"
    assert [dict(g) for g in groups[:2]] == [FULL, FULL]
    if smallest:
        least = chosen.smallest_of(TINY, 1.0)
        widths = [n for n in least if n not in kernels(TINY)]
        assert all(groups[-1][n] == least[n] for n in widths)
    if mode == "largest":
        assert all(g[n] == FULL[n] for g in groups for n in kernels(TINY))
    assert chosen.assignment(supernet, 24, 1.0, Random(3)) == assignment
    assert chosen.assignment(supernet, 24, 1.0, Random(4)) != assignment
    each = OrderedDropout(groups="image").assignment(supernet, 5, 1.0, Random(0))
    assert len(each.groups) == 5


def test_batches_that_do_not_fit(supernet: Supernet) -> None:
    with pytest.raises(UserError, match="batch of 10 images is not a multiple of 8 groups"):
        OrderedDropout(groups=8).assignment(supernet, 10, 1.0, Random(0))
    image = OrderedDropout(groups="image", largest=2, smallest=1)
    with pytest.raises(UserError, match="2 images cannot hold 2 largest and 1 smallest"):
        image.assignment(supernet, 2, 1.0, Random(0))


@pytest.mark.parametrize("name", names())
def test_one_step_of_every_strategy(name: str) -> None:
    torch.manual_seed(0)
    supernet = Supernet(TINY).train()
    chosen = strategy(name)
    x, targets = torch.randn(16, 3, 8, 8), torch.arange(16) % 10
    total = 0.0
    count = 0
    for step in chosen.passes(supernet, x, targets, 1.0, Random(0)):
        assert len(step.outputs) == len(step.targets)
        (step.weight * torch.nn.functional.cross_entropy(step.outputs, step.targets)).backward()
        total += step.weight
        count += 1
    assert total == pytest.approx(1.0)
    assert count == chosen.forwards
    assert all(p.grad is not None and p.grad.isfinite().all() for p in supernet.parameters())


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_the_largest_network_learns_from_labels_and_the_others_from_it(share: float) -> None:
    torch.manual_seed(0)
    supernet = Supernet(TINY).train()
    x, targets = torch.randn(24, 3, 8, 8), torch.arange(24) % 10
    chosen = OrderedDropout(groups=6, largest=2, distil=share)
    (step,) = chosen.passes(supernet, x, targets, 1.0, Random(0))
    assignment = chosen.assignment(supernet, 24, 1.0, Random(0))
    labels = torch.nn.functional.one_hot(targets, 10).float()
    with torch.no_grad():
        mixed = (1 - share) * labels + share * supernet(x).softmax(1)
    for i, values in enumerate(assignment.groups):
        images = slice(i * 4, i * 4 + 4)
        wanted = labels if values == FULL else mixed
        assert torch.allclose(step.targets[images], wanted[images], atol=1e-6), i
    assert sum(values == FULL for values in assignment.groups) == 2


def test_the_sandwich_runs_largest_random_and_smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def sliced(_: Supernet, values: dict[str, int], x: torch.Tensor) -> torch.Tensor:
        ran.append(values)
        return torch.zeros(len(x), 10)

    monkeypatch.setattr("supernet.strategies.sandwich.run_sliced", sliced)
    rule = Sandwich(random=3, low=0.25)
    x, targets = torch.randn(4, 3, 8, 8), torch.arange(4)
    passes = list(rule.passes(Supernet(TINY), x, targets, 1.0, Random(0)))
    assert len(passes) == 5 and len(ran) == 4
    assert ran[-1] == rule.smallest_of(TINY, 1.0)
    assert len({tuple(v.items()) for v in ran}) == 4


@pytest.mark.parametrize(
    ("name", "given_settings", "message"),
    [
        ("ordered_dropuot", {}, "did you mean 'ordered_dropout'"),
        ("ordered_dropout", {"low": 1.5}, "low = 1.5 is not within 0 … 1"),
        ("ordered_dropout", {"low": "small"}, "low = 'small' is not within 0 … 1"),
        ("ordered_dropout", {"widen": float("nan")}, "widen = nan"),
        ("ordered_dropout", {"keep": 1.0}, "keep = 1.0 is neither 'network' nor"),
        ("ordered_dropout", {"groups": 0}, "groups = 0"),
        ("ordered_dropout", {"groups": 0, "largest": 0}, "groups = 0"),
        ("ordered_dropout", {"groups": "images"}, "groups = 'images'"),
        ("ordered_dropout", {"groups": True}, "groups = True"),
        ("ordered_dropout", {"groups": 2, "largest": 2, "smallest": 1}, "2 groups cannot hold"),
        ("ordered_dropout", {"largest": -1}, "largest = -1 is not a whole number"),
        ("ordered_dropout", {"statistics": "batch"}, "strategy's statistics 'batch'"),
        ("ordered_dropout", {"kernels": "all"}, "strategy's kernels 'all'"),
        ("ordered_dropout", {"distil": 2}, "distil = 2 is not within"),
        ("sandwich", {"random": -2}, "random = -2"),
        ("sandwich", {"distil": 0.5}, "distil = 0.5 of the sandwich is true or false"),
    ],
)
def test_refusals(name: str, given_settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        strategy(name, **given_settings)
