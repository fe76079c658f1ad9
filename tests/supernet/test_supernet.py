"""The super-network as a module: layouts, precisions, copies, refusals, dropout, slices."""

from __future__ import annotations

import copy
import pickle
import random

import pytest
import torch

from search_spaces import Architecture, SearchSpace, space
from supernet import Assignment, CompactNetwork, Supernet, extract
from supernet.extraction import run_sliced
from tests.search_spaces.toys import TOYS
from tests.supernet.exactness import randomise


@pytest.fixture(scope="module")
def of() -> SearchSpace:
    return space("mobilenet_v3_tiny", resolution=17)


@pytest.fixture(scope="module")
def mixed(of: SearchSpace) -> tuple[Architecture, ...]:
    return (of.largest(), of.smallest(), *(of.random(random.Random(i)) for i in range(2)))


def images(of: SearchSpace, count: int = 8, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(
        count, *of.input_shape, generator=torch.Generator().manual_seed(0), dtype=dtype
    )


def test_no_assignment_is_the_largest_network(of: SearchSpace) -> None:
    supernet = randomise(Supernet(of).double())
    x = images(of, dtype=torch.float64)
    for training in (False, True):
        supernet.train(training)
        largest = extract(supernet, of.largest())
        assert torch.allclose(supernet(x), largest(x), rtol=0, atol=1e-12)


def test_layouts_do_not_matter(of: SearchSpace, mixed: tuple[Architecture, ...]) -> None:
    supernet = randomise(Supernet(of))
    x = images(of)
    wanted = supernet(x, Assignment(mixed))
    strided = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert not strided.is_contiguous()
    assert torch.allclose(supernet(strided, Assignment(mixed)), wanted, atol=1e-5)
    last = copy.deepcopy(supernet).to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(last(x, Assignment(mixed)), wanted, atol=1e-5)


@pytest.mark.parametrize("statistics", ["own", "shared", "kept"])
def test_autocast_stays_close_and_in_its_type(
    of: SearchSpace, mixed: tuple[Architecture, ...], statistics: str
) -> None:
    supernet = randomise(Supernet(of))
    x = images(of, 32)
    assignment = Assignment(mixed, statistics)  # type: ignore[arg-type]
    wanted = supernet(x, assignment)
    types = []
    hook = supernet.layer("stage3.block1.se.reduce").register_forward_hook(
        lambda _, __, out: types.append(out.dtype)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = supernet(x, assignment)
    hook.remove()
    got.float().square().mean().backward()
    assert types == [torch.bfloat16]  # the mask does not make it float32 again
    assert (got - wanted).abs().max() <= 0.05 * wanted.abs().max()
    assert all(p.grad is None or p.grad.isfinite().all() for p in supernet.parameters())


def test_copies(of: SearchSpace, mixed: tuple[Architecture, ...]) -> None:
    supernet = randomise(Supernet(of)).eval()
    x = images(of)
    wanted = supernet(x, Assignment(mixed))
    for again in (copy.deepcopy(supernet), pickle.loads(pickle.dumps(supernet))):
        assert torch.equal(again(x, Assignment(mixed)), wanted)
    fresh = Supernet(of).eval()
    fresh.load_state_dict(supernet.state_dict())
    assert torch.equal(fresh(x, Assignment(mixed)), wanted)
    compact = extract(supernet, mixed[2])
    for other in (copy.deepcopy(compact), pickle.loads(pickle.dumps(compact))):
        assert torch.equal(other(x), compact(x))


def test_an_extracted_network_owns_its_weights(of: SearchSpace) -> None:
    supernet = randomise(Supernet(of)).eval()
    x = images(of)
    compact = extract(supernet, of.largest())
    before = compact(x)
    with torch.no_grad():
        for tensor in [*supernet.parameters(), *supernet.buffers()]:
            tensor.zero_()
    assert torch.equal(compact(x), before)


def test_assignments_are_refused(of: SearchSpace) -> None:
    supernet = Supernet(of)
    with pytest.raises(ValueError, match="a batch of 8 is not a multiple of 3 groups"):
        supernet(images(of), Assignment((of.largest(),) * 3))
    with pytest.raises(ValueError, match="at least one group"):
        Assignment(())
    with pytest.raises(ValueError, match="unknown statistics 'batch'"):
        Assignment((of.largest(),), "batch")  # type: ignore[arg-type]


def test_dropout_acts_before_the_last_linear_layer_in_training_alone(of: SearchSpace) -> None:
    plain, dropping = Supernet(of), Supernet(of, dropout=0.5)
    x = images(of)
    compact = CompactNetwork(of.describe(of.largest()), dropout=0.5)
    for network in (dropping, compact):
        network.train()
        seen = []
        hook = network.layer("classifier").register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[0].clone())
        )
        features = []
        hook_2 = network.layer("features").register_forward_hook(
            lambda _, __, out, features=features: features.append(out)
        )
        network(x)
        hook.remove(), hook_2.remove()
        dropped = (seen[0] == 0) & (features[0] != 0)
        assert 0.3 < dropped.double().mean() < 0.7
        assert torch.allclose(seen[0][~dropped], 2 * features[0][~dropped])
        network.eval()
        assert torch.equal(network(x), network(x))
    plain.load_state_dict(dropping.state_dict())
    assert torch.equal(dropping.eval()(x), plain.eval()(x))
    assert extract(dropping, of.smallest()).dropout == 0.5


def test_a_sliced_pass_is_the_extracted_network(
    of: SearchSpace, mixed: tuple[Architecture, ...]
) -> None:
    supernet = randomise(Supernet(of).double())
    x = images(of, dtype=torch.float64)
    for training in (False, True):
        supernet.train(training)
        buffers = {name: b.clone() for name, b in supernet.named_buffers()}
        for architecture in mixed:
            compact = extract(supernet, architecture)
            wanted = compact(x)
            wanted.square().mean().backward()
            supernet.zero_grad()
            sliced = run_sliced(supernet, architecture, x)
            assert torch.equal(sliced, wanted)
            sliced.square().mean().backward()
            # the gradient arrives where the weight was taken from, and nowhere else
            total = sum(float(p.grad.square().sum()) for p in compact.parameters())
            got = sum(
                float(p.grad.square().sum()) for p in supernet.parameters() if p.grad is not None
            )
            assert got == pytest.approx(total, rel=1e-10)
            gradient = supernet.layer("stem").conv.weight.grad
            small = compact.layer("stem").conv.weight.grad
            assert torch.allclose(gradient[: len(small)], small)
            assert gradient[len(small) :].abs().sum() == 0
        # neither evaluation nor training on slices changes the shared statistics
        assert all(torch.equal(b, buffers[name]) for name, b in supernet.named_buffers())


def test_traced_by_the_compiler(of: SearchSpace, mixed: tuple[Architecture, ...]) -> None:
    space = TOYS["unequal"]()
    supernet = randomise(Supernet(space)).train()
    groups = Assignment((space.largest(), space.smallest()))
    x = torch.randn(4, *space.input_shape)
    compiled = torch.compile(supernet, backend="eager")
    assert torch.allclose(compiled(x, groups), supernet(x, groups), atol=1e-6)
