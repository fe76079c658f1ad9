"""``import nas`` hands on what a program needs, and costs nothing."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import nas
from nas.tracing import space_from_model
from search_spaces import UserError


def test_every_name_is_there():
    for name in nas.__all__:
        assert callable(getattr(nas, name))


def test_importing_it_reaches_neither_torch_nor_a_package_below():
    code = (
        "import sys, nas; print([m for m in sys.modules if m == 'torch' or m.startswith('nas.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_none():
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        nas.nothing_of_ours  # noqa: B018


def small_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 4),
    ).eval()


def test_a_module_becomes_smaller_and_keeps_the_filters_that_matter():
    module = small_module()
    with torch.no_grad():
        # half of the second layer's filters do nothing
        module[3].weight[::2] = 0
        module[3].bias[::2] = 0
    images = torch.randn(8, 1, 8, 8)
    expected = module(images)

    def closeness(copy: nn.Module) -> float:
        return -float((copy(images) - expected).abs().max())

    smaller = nas.make_smaller(
        module,
        closeness,
        "60%",
        metric="macs",
        resolution=8,
        settings={"initial_reduction": 0.2, "decay": 1.0},
    )
    full, _ = space_from_model(module, 8)
    assert smaller.network.macs <= 0.6 * full.describe(full.largest()).macs
    assert (smaller(images) - expected).abs().max() < 1e-5


def test_a_copy_is_adapted_before_it_is_scored():
    adapted: list[int] = []
    nas.make_smaller(
        small_module(),
        lambda copy: 0.0,
        "50%",
        metric="macs",
        resolution=8,
        adapt=lambda copy: adapted.append(copy.training),
        settings={"initial_reduction": 0.3, "decay": 1.0},
    )
    assert adapted and all(adapted)


def test_a_search_by_a_score_of_ones_own_keeps_its_budgets():
    space = nas.open_space("mobilenet_v3_tiny", {"resolution": 16})
    full = space.describe(space.largest())
    found = nas.find_networks(
        space,
        lambda architecture: -space.describe(architecture).params,
        "50%",
        metric="macs",
        constraints=["params=80%"],
        settings={"iterations": 4, "samples": 4},
    )
    assert found.best is not None and found.stopped is None
    assert found.best.metrics["macs"] <= 0.5 * full.macs
    assert found.best.metrics["params"] <= 0.8 * full.params


def test_a_score_that_is_no_number_is_refused():
    space = nas.open_space("mobilenet_v3_tiny", {"resolution": 16})
    with pytest.raises(UserError, match="returned None"):
        nas.find_networks(space, lambda architecture: None, "50%", metric="macs")
