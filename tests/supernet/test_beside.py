"""Groups side by side, as an accelerator computes them: the numbers of groups one after another."""

from __future__ import annotations

import copy
import random

import pytest
import torch
import torch._dynamo

from nas.tracing import space_from_model
from search_spaces import SearchSpace
from supernet import Assignment, Supernet
from supernet.layout import apart, as_channels, as_positions, beside
from tests.nas.tracing.test_networks import make
from tests.search_spaces.toys import TOYS, every
from tests.supernet.exactness import forward_error, gradient_error, randomise
from tests.supernet.test_exactness import SPACES


def drawn(of: SearchSpace, count: int, seed: int = 3) -> tuple:
    source = random.Random(seed)
    return (of.largest(), of.smallest(), *(of.random(source) for _ in range(count - 2)))


TRACED = {"layer norms and dilation": "modern", "cuts and shuffles": "parts"}


def opened(name: str) -> SearchSpace:
    if name in TRACED:
        return space_from_model(*make(TRACED[name]), check=False)[0]
    return TOYS[name]() if name in TOYS else SPACES[name]


@pytest.mark.parametrize("name", ["mobilenet_v3", "mobilenet_v1", "fastdepth"])
@pytest.mark.parametrize("own", [False, True], ids=["frozen statistics", "own statistics"])
def test_masked_and_extracted_agree(name: str, own: bool) -> None:
    of = SPACES[name]
    supernet = randomise(Supernet(of).double())
    supernet.beside = True
    groups = drawn(of, 4)
    torch.manual_seed(1)
    x = torch.randn(2 * len(groups), *of.input_shape, dtype=torch.float64)
    with torch.no_grad():
        target = torch.randn_like(supernet.eval()(x))
    if not own:
        assert forward_error(supernet, groups, x) <= 1e-10
    assert gradient_error(supernet.train(own), groups, x, target) <= 1e-10


@pytest.mark.parametrize("statistics", ["own", "shared", "kept"])
@pytest.mark.parametrize("name", ["mobilenet_v3_tiny", *TOYS, *TRACED])
def test_both_ways_give_the_same_outputs_gradients_and_statistics(
    name: str, statistics: str
) -> None:
    of = opened(name)
    groups = tuple(every(of)) if name in TOYS else drawn(of, 4)
    one = randomise(Supernet(of).double()).train()
    other = copy.deepcopy(one)
    other.beside = True
    x = torch.randn(2 * len(groups), *of.input_shape, dtype=torch.float64)
    for supernet in (one, other):
        found = supernet(x, Assignment(groups, statistics))  # type: ignore[arg-type]
        outputs = found if isinstance(found, tuple) else (found,)
        sum(y.square().sum() for y in outputs).backward()
        supernet.seen = [y.detach() for y in outputs]  # type: ignore[assignment]
    for a, b in zip(one.seen, other.seen, strict=True):  # type: ignore[arg-type]
        torch.testing.assert_close(b, a)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad)
    for a, b in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(b, a)


def test_bfloat16_stays_close() -> None:
    of = SPACES["mobilenet_v3_tiny"]
    supernet = randomise(Supernet(of)).train()
    supernet.beside = True
    assignment = Assignment(drawn(of, 4))
    x = torch.randn(32, *of.input_shape, generator=torch.Generator().manual_seed(0))
    wanted = supernet(x, assignment)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = supernet(x, assignment)
    got.float().square().mean().backward()
    assert (got - wanted).abs().max() <= 0.05 * wanted.abs().max()
    assert all(p.grad is None or p.grad.isfinite().all() for p in supernet.parameters())


def test_a_step_compiles_as_one_graph_and_once_for_all_sub_networks() -> None:
    torch._dynamo.reset()
    of = SPACES["mobilenet_v3_tiny"]
    supernet = randomise(Supernet(of)).train()
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(supernet.run_table, backend=count, fullgraph=True, dynamic=False)
    x = torch.randn(8, *of.input_shape)
    for seed in range(3):
        table = supernet.table(drawn(of, 4, seed))
        torch.testing.assert_close(compiled(x, table, "own"), supernet.run_table(x, table, "own"))
    assert len(graphs) == 1


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_layouts_are_inverse_and_views_of_channels_last_memory(groups: int) -> None:
    images = torch.randn(6, 5, 3, 4)
    x = beside(images, groups)
    assert x.shape == (6 // groups, 5 * groups, 3, 4)
    # group 0 is its images' channels, in front
    assert torch.equal(x[:, :5], images[: 6 // groups])
    assert torch.equal(apart(x, groups), images)
    x = x.contiguous(memory_format=torch.channels_last)
    rows = as_positions(x, groups)
    assert rows.shape == (6 // groups, 5, 3, 4 * groups)
    assert rows.data_ptr() == x.data_ptr()
    assert torch.equal(as_channels(rows, groups), x)
    assert as_channels(rows, groups).data_ptr() == x.data_ptr()
