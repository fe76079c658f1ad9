"""Exactness on hand-made graphs, and the bypass against its formula written out."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from search_spaces.nodes import Conv
from supernet import Assignment, Supernet, extract
from tests.search_spaces.toys import TOYS, conv, every, toy, unit, width
from tests.supernet.exactness import gradient_error, randomise


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("own", [False, True], ids=["frozen statistics", "own statistics"])
def test_masked_and_extracted_agree(name: str, own: bool) -> None:
    space = TOYS[name]()
    supernet = randomise(Supernet(space).double()).train(own)
    architectures = every(space)
    x = torch.randn(2 * len(architectures), *space.input_shape, dtype=torch.float64)
    masked = supernet(x, Assignment(tuple(architectures)))
    masked = masked if isinstance(masked, tuple) else (masked,)
    parts = x.chunk(len(architectures))
    for i, (architecture, part) in enumerate(zip(architectures, parts, strict=True)):
        compact = extract(supernet, architecture)(part)
        for whole, wanted in zip(
            masked, compact if isinstance(compact, tuple) else (compact,), strict=True
        ):
            got = whole[2 * i : 2 * i + 2]
            kept = wanted.shape[1]
            assert (got[:, :kept] - wanted).abs().max() <= 1e-10 * wanted.abs().max()
            # a channel that the extracted network lacks is zero
            assert got[:, kept:].abs().sum() == 0
    if len(space.outputs) == 1:
        target = torch.randn(masked[0].shape, dtype=torch.float64)
        assert gradient_error(supernet, architectures, x, target) <= 1e-10


def pooled_by_hand(x: Tensor, stride: int) -> Tensor:
    """Average over windows of the stride; a window that hangs over counts what is there."""
    size = -(-x.shape[-1] // stride)
    out = x.new_zeros(*x.shape[:2], size, size)
    for i, j in itertools.product(range(size), repeat=2):
        window = x[..., i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
        out[..., i, j] = window.mean((-2, -1))
    return out


@pytest.mark.parametrize("lowering", ["concat", "pad"])
@pytest.mark.parametrize(
    ("inputs", "filters", "stride"), [(4, 4, 1), (3, 5, 1), (5, 3, 1), (4, 4, 2), (3, 5, 2)]
)
def test_bypass_follows_its_formula(inputs: int, filters: int, stride: int, lowering: str) -> None:
    residual = inputs == filters and stride == 1
    space = unit(
        inputs=inputs,
        filters=filters,
        stride=stride,
        residual=residual,
        resolution=5,
        lowering=lowering,
    )
    supernet = randomise(Supernet(space).double()).eval()
    image = torch.randn(1, *space.input_shape, dtype=torch.float64)
    first, layer = supernet.layer("x"), supernet.layer("f")
    for c in range(1, inputs + 1):
        x = first(image, None)
        x[:, c:] = 0
        bypassed = pooled_by_hand(x, stride)
        f = layer(x, None)
        for m in range(filters + 1):
            z = max(min(c, filters), m)
            wanted = torch.zeros(1, z, *f.shape[2:], dtype=torch.float64)
            for i in range(z):
                if i < m:
                    wanted[:, i] += f[:, i]
                if i < inputs and (residual or i >= m):
                    wanted[:, i] += bypassed[:, i]
            got = extract(supernet, space.architecture({"c": c, "m": m}))(image)
            assert torch.allclose(got, wanted, rtol=0, atol=1e-12), (c, m)


def test_a_padded_1x1_convolution_on_a_vector() -> None:
    padded = Conv(name="p", inputs=("a",), filters=conv("p", "a", 2).filters, padding=(1, 1, 1, 1))
    space = toy([conv("a", "input", 4, "w"), padded], [width("w", 2, 4)], "p", resolution=1)
    supernet = randomise(Supernet(space).double()).eval()
    image = torch.randn(2, 3, 1, 1, dtype=torch.float64)
    masked = supernet(image, Assignment((space.smallest(),)))
    assert masked.shape == (2, 2, 3, 3)
    assert torch.allclose(masked, extract(supernet, space.smallest())(image))
