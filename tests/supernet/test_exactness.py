"""Exactness is the contract: masked and extracted networks agree for every architecture."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Architecture, SearchSpace, names, space
from supernet import Supernet
from supernet import supernet as supernet_module
from tests.spaces import fitting
from tests.supernet.exactness import forward_error, gradient_error, randomise

SMALL = {"multiplier": 0.25, "classes": 4}
SPACES: dict[str, SearchSpace] = {
    # odd sizes almost all the way down: 33, 17, 9, 5, 3, 2
    name: fitting(name, resolution=33, **SMALL)
    for name in names()
    if name != "fastdepth"
}
SPACES["fastdepth"] = space("fastdepth", resolution=32, multiplier=0.25)
SPACES["mobilenet_v3 without bypass"] = space("mobilenet_v3", resolution=34, bypass=False, **SMALL)
SPACES["mobilenet_v3 padded"] = space("mobilenet_v3", resolution=33, lowering="pad", **SMALL)
SPACES["mobilenet_v3_small with bypass"] = space(
    "mobilenet_v3_small", resolution=33, bypass=True, **SMALL
)

TOLERANCE = {torch.float32: (1e-4, 1e-5), torch.float64: (1e-10, 1e-10)}


def check(
    of: SearchSpace, architectures: list[Architecture], dtype: torch.dtype, *, own: bool
) -> None:
    """Outputs, and gradients with frozen statistics; or gradients with each group's own."""
    supernet = randomise(Supernet(of).to(dtype))
    size = 2 if own else 1
    torch.manual_seed(1)
    x = torch.randn(size * len(architectures), *of.input_shape, dtype=dtype)
    forward, gradient = TOLERANCE[dtype]
    with torch.no_grad():
        shape = supernet.eval()(x[:1]).shape[1:]
    target = torch.randn(len(x), *shape, dtype=dtype)
    if not own:
        assert forward_error(supernet, architectures, x) <= forward
    supernet.train(own)
    assert gradient_error(supernet, architectures, x, target) <= gradient


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("own", [False, True], ids=["frozen statistics", "own statistics"])
def test_random_architectures_in_float64(name: str, own: bool) -> None:
    source = random.Random(7)
    of = SPACES[name]
    architectures = [of.random(source) for _ in range(4)] + [of.largest(), of.smallest()]
    check(of, architectures, torch.float64, own=own)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(SPACES)))
def test_random_architectures_in_float32(seed: int, name: str) -> None:
    source = random.Random(seed)
    of = SPACES[name]
    check(of, [of.random(source) for _ in range(3)], torch.float32, own=False)


def corner(of: SearchSpace, **changes: int) -> Architecture:
    values = {c.name: c.largest for c in of.choices.values()}
    return of.architecture({**values, **changes})


def test_corner_cases_of_the_bypass() -> None:
    of = SPACES["mobilenet_v3"]
    widths = {c.name: c for c in of.choices.values() if c.kind == "width"}
    removed = {n: 0 for n, c in widths.items() if c.values[0] == 0}
    assert len(removed) == 17
    architectures = [
        corner(of, **removed),
        # M > C inside a residual unit: its input was narrowed, it keeps all filters
        corner(of, **{"stage5.block1.width": 8, "stage4.block4.width": 0}),
        corner(of, **{"stage5.block1.width": 8, "stage5.block2.width": 16}),
        # C > T at the first unit of a stage: the last inputs are never bypassed
        corner(of, **{"stage2.block1.width": 8, "stage2.block2.width": 0}),
        # M between min(C, T) and T
        corner(of, **{"stage3.block4.width": 0, "stage4.block1.width": 16}),
        # stride-2 bypass at odd sizes, as narrow as it gets
        corner(of, **{f"stage{s}.block1.width": 8 for s in (2, 3, 4, 6)}),
        *[
            corner(of, **{c.name: k for c in of.choices.values() if c.kind == "kernel"})
            for k in (3, 5, 7)
        ],
    ]
    check(of, architectures, torch.float64, own=False)
    check(of, architectures, torch.float64, own=True)


def test_removed_decoder_units_and_unequal_skips() -> None:
    of = SPACES["fastdepth"]
    architectures = [
        corner(of, **{f"decoder{i}.width": 0 for i in range(1, 6)}),
        corner(of, **{"decoder2.width": 8, "block5.width": 64}),
        corner(of, **{"decoder3.width": 32, "block3.width": 8, "block2.width": 8}),
    ]
    check(of, architectures, torch.float64, own=True)


def test_a_broken_mask_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    of = SPACES["mobilenet_v3_tiny"]
    architectures = [of.random(random.Random(i)) for i in range(3)]
    monkeypatch.setattr(
        "supernet.masks.Masks._make", _one_channel_too_many(supernet_module.MaskPlan)
    )
    with pytest.raises(AssertionError):
        check(of, architectures, torch.float64, own=False)


def _one_channel_too_many(_: object) -> object:
    from supernet.masks import Masks

    make = Masks._make

    def broken(self: Masks, name: str) -> torch.Tensor:
        mask = make(self, name)
        return torch.cat([mask[:, :1], mask[:, :-1]], 1) if mask.shape[1] > 1 else mask

    return broken
