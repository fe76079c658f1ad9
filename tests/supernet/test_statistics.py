"""Batch statistics of groups, of kept images, and recalibrated ones."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search_spaces import UserError, space
from supernet import Assignment, CompactNetwork, Supernet, recalibrate, statistics
from supernet.statistics import group_batch_norm, kept_batch_norm
from tests.supernet.exactness import randomise


def double(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "strided"])
@pytest.mark.parametrize("few", [0, 10**6])
def test_group_batch_norm_by_hand_and_its_gradient(
    masked: bool, layout: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_FEW_VALUES", few)
    torch.manual_seed(0)
    x, weight, bias = double(6, 4, 3, 2), double(4), double(4)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1.0, 1, 1, 1]]).double() if masked else None

    def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        if layout == "channels last":
            x = x.contiguous(memory_format=torch.channels_last)
        elif layout == "strided":
            x = x.transpose(2, 3)
        out: torch.Tensor = group_batch_norm(x, weight, bias, mask, 1e-3, 3)[0]
        return out.transpose(2, 3) if layout == "strided" else out

    wanted = torch.cat([F.batch_norm(p, None, None, weight, bias, True, 0, 1e-3)
                        for p in x.chunk(3)])  # fmt: skip
    if mask is not None:
        wanted = wanted * mask.repeat_interleave(2, 0)[:, :, None, None]
    assert torch.allclose(run(x, weight, bias), wanted, rtol=0, atol=1e-12)
    _, mean, variance = group_batch_norm(x, weight, bias, mask, 1e-3, 3)
    groups = x.reshape(3, 2, 4, 3, 2)
    assert torch.allclose(mean, groups.mean((1, 3, 4)))
    assert torch.allclose(variance, groups.var((1, 3, 4), unbiased=False))
    assert torch.autograd.gradcheck(run, (x, weight, bias))


@pytest.mark.parametrize("shape", [(16, 24, 4, 4), (8, 40, 2, 3), (32, 104, 1, 1), (4, 7, 9, 5)])
def test_one_call_for_all_groups_equals_one_for_each(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape).add(3).to(memory_format=torch.channels_last).requires_grad_()
    weight, bias = torch.rand(shape[1], requires_grad=True), torch.randn(shape[1])
    bias.requires_grad_()
    mask = (torch.rand(4, shape[1]) < 0.7).float()
    grad = torch.randn_like(x)
    found = []
    for few in (0, 10**6):
        monkeypatch.setattr(statistics, "_FEW_VALUES", few)
        out, mean, variance = group_batch_norm(x, weight, bias, mask, 1e-5, 4)
        gradients = torch.autograd.grad(out, (x, weight, bias), grad)
        found.append((out, mean, variance, *gradients))
        assert out.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=2e-6)


def test_kept_statistics_by_hand() -> None:
    torch.manual_seed(0)
    x, weight, bias = double(5, 3, 2, 2), double(3), double(3)
    # the last channel is kept by no image: it has statistics all the same, and leaves zero
    kept = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]]).double()
    out, mean, variance = kept_batch_norm(x, weight, bias, kept, 1e-3)
    wanted = torch.zeros_like(x)
    for c in range(3):
        images = [n for n in range(5) if kept[n, c]]
        values = x[images or list(range(5)), c]
        assert torch.allclose(mean[c], values.mean())
        assert torch.allclose(variance[c], values.var(unbiased=False))
        for n in images:
            scaled = (x[n, c] - values.mean()) / (values.var(unbiased=False) + 1e-3).sqrt()
            wanted[n, c] = scaled * weight[c] + bias[c]
    assert torch.allclose(out, wanted)
    assert torch.autograd.gradcheck(lambda *a: kept_batch_norm(*a, kept, 1e-3)[0],
                                    (x, weight, bias))  # fmt: skip


def test_a_channel_kept_at_one_position_uses_all_images_and_learns() -> None:
    torch.manual_seed(0)
    x, weight, bias = double(4, 2, 1, 1), double(2), double(2)
    kept = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0]]).double()
    out, mean, variance = kept_batch_norm(x, weight, bias, kept, 1e-3)
    assert torch.allclose(mean, x.mean((0, 2, 3)))
    assert torch.allclose(variance, x.var((0, 2, 3), unbiased=False))
    out[0, 1].sum().backward()
    assert x.grad is not None and x.grad[0, 1].abs() > 1e-3


def test_kept_statistics_of_a_half_precision_map_are_taken_in_full_precision() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 3, 4, 4).add(10).bfloat16()
    weight, bias, kept = torch.rand(3), torch.randn(3), torch.ones(16, 3)
    out, mean, variance = kept_batch_norm(x, weight, bias, kept, 1e-5)
    wanted = kept_batch_norm(x.float(), weight, bias, kept, 1e-5)
    assert out.dtype == torch.bfloat16
    assert torch.equal(mean, wanted[1]) and torch.equal(variance, wanted[2])
    assert torch.equal(out, wanted[0].bfloat16())


def test_one_value_per_channel_is_refused() -> None:
    of = space("mobilenet_v3_tiny", resolution=4)
    supernet = Supernet(of).train()
    groups = (of.largest(),) * 3
    images = torch.randn(3, 3, 4, 4)
    with pytest.raises(UserError, match="one value per channel: 3 groups in a batch of 3 at 1x1"):
        supernet(images, Assignment(groups))
    assert supernet(images, Assignment(groups, "shared")).isfinite().all()
    assert supernet(torch.cat([images, images]), Assignment(groups)).isfinite().all()


def test_running_statistics_follow_the_groups() -> None:
    of = space("mobilenet_v3_tiny", resolution=16)
    supernet = Supernet(of).train()
    stem = supernet.layer("stem").norm
    images = torch.randn(8, 3, 16, 16)
    with torch.no_grad():
        maps = F.conv2d(images, supernet.layer("stem").conv.weight, padding=1)
        supernet(images, Assignment((of.largest(), of.smallest())))
    assert torch.allclose(stem.running_mean, 0.1 * maps.mean((0, 2, 3)), atol=1e-6)


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def recorded(network: nn.Module, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and unbiased variance at every normalisation of one training pass, in double."""
    found = []
    hooks = [
        norm.register_forward_pre_hook(
            lambda _, x: found.append((x[0].double().mean((0, 2, 3)), x[0].double().var((0, 2, 3))))
        )
        for norm in batch_norms(network)
    ]
    network.train()
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return found


def test_recalibration_by_hand() -> None:
    of = space("mobilenet_v3_tiny", resolution=16)
    network = CompactNetwork(of.describe(of.random(random.Random(0)))).double()
    batches = list(torch.randn(3, 8, 3, 16, 16, dtype=torch.float64))
    each = [recorded(network, images) for images in batches]
    recalibrate(network, batches)
    for i, norm in enumerate(batch_norms(network)):
        assert torch.allclose(norm.running_mean, sum(r[i][0] for r in each) / 3)
        assert torch.allclose(norm.running_var, sum(r[i][1] for r in each) / 3)
    # batches that are alike: the same as all their images at once, but for the unbiased factor
    recalibrate(network, [batches[0]] * 2)
    twice = recorded(network, torch.cat([batches[0]] * 2))
    for norm, (mean, variance) in zip(batch_norms(network), twice, strict=True):
        assert torch.allclose(norm.running_mean, mean)
        assert torch.allclose(norm.running_var, variance, rtol=0.15)
    # old statistics leave no trace, and a single batch is exact
    recalibrate(network, batches[:1])
    for norm, (mean, variance) in zip(batch_norms(network), each[0], strict=True):
        assert torch.allclose(norm.running_mean, mean) and torch.allclose(
            norm.running_var, variance
        )


def test_recalibration_restores_modes_and_draws_nothing() -> None:
    of = space("mobilenet_v3_tiny", resolution=16)
    network = CompactNetwork(of.describe(of.largest()), dropout=0.5)
    network.train()
    batch_norms(network)[2].eval()
    modes = [part.training for part in network.modules()]
    weights = [p.clone() for p in network.parameters()]
    images = torch.randn(4, 3, 16, 16)
    state = torch.get_rng_state()
    recalibrate(network, [images])
    assert torch.equal(state, torch.get_rng_state())
    assert [part.training for part in network.modules()] == modes
    assert all(map(torch.equal, weights, network.parameters()))
    assert all(norm.momentum == 0.1 for norm in batch_norms(network))
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(network, [])
    with pytest.raises(RuntimeError):
        recalibrate(network, [images[:, :1]])
    assert [part.training for part in network.modules()] == modes
    assert all(norm.momentum == 0.1 for norm in batch_norms(network))


def test_recalibrated_networks_do_not_depend_on_old_statistics() -> None:
    of = space("mobilenet_v3_tiny", resolution=16)
    supernet = randomise(Supernet(of))
    images = torch.randn(8, 3, 16, 16)
    outputs = []
    for scale in (1.0, 7.0):
        for norm in batch_norms(supernet):
            norm.running_mean.add_(scale)
        recalibrate(supernet, [images])
        outputs.append(supernet.eval()(images))
    assert torch.equal(*outputs)
