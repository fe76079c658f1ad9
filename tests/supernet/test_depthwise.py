"""The convolution for small depthwise maps equals torch's own in value and in every gradient."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.depthwise import conv2d


def drawn_cases(count: int) -> list[tuple[int, ...]]:
    """(height, width, kernel's height, its width, stride, padding, channels of a group)."""
    source = random.Random(0)
    cases: list[tuple[int, ...]] = []
    while len(cases) < count:
        height, width = source.randint(1, 9), source.randint(1, 9)
        kernel, padding = (
            (source.choice((1, 2, 3, 5, 7)), source.choice((1, 3, 5, 7))),
            source.randint(0, 3),
        )
        if height + 2 * padding >= kernel[0] and width + 2 * padding >= kernel[1]:
            stride, group = source.choice((1, 2, 3)), source.choice((1, 1, 1, 2))
            cases.append((height, width, *kernel, stride, padding, group))
    return cases


@pytest.mark.parametrize("case", drawn_cases(150), ids=str)
def test_value_and_gradients_equal_torch(case: tuple[int, ...]) -> None:
    height, width, k, m, stride, padding, group = case
    generator = torch.Generator().manual_seed(hash(case) % 2**31)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    images, channels = 16, 96  # enough that oneDNN is avoided
    tensors = [draw(images, channels, height, width), draw(channels, group, k, m), draw(channels)]
    tensors[0] = tensors[0].to(memory_format=torch.channels_last)
    results = []
    for own in (True, False):
        x, weight, bias = (t.detach().clone().requires_grad_() for t in tensors)
        if own:
            y = conv2d(x, weight, bias, (stride, stride), (padding, padding), channels // group)
        else:
            y = F.conv2d(x, weight, bias, stride, padding, groups=channels // group)
        wanted = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape)
        y.backward(wanted)
        results.append((y, x.grad, weight.grad, bias.grad))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_float32_in_memory_formats_and_weights_that_are_a_slice() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 64, 2, 2, generator=generator)
    kernel = torch.randn(64, 1, 7, 7, generator=generator)
    for memory_format in (torch.channels_last, torch.contiguous_format):
        gradients = []
        for convolve in (
            lambda i, w: conv2d(i, w, None, (1, 1), (2, 2), 64),
            lambda i, w: F.conv2d(i, w, None, 1, 2, groups=64),
        ):
            weight = kernel.clone().requires_grad_()
            convolve(
                x.to(memory_format=memory_format), weight[:, :, 1:6, 1:6]
            ).square().sum().backward()
            gradients.append(weight.grad)
        assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-4)
        assert gradients[0].abs().sum() > 0


class Layer(torch.nn.Module):
    """A layer whose gradient would be this project's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(512, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, None, (1, 1), (1, 1), 512)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_whoever_reads_the_graph_finds_torchs_convolution() -> None:
    image = torch.randn(1, 512, 2, 2)
    assert "Small" in type(Layer()(image).grad_fn).__name__, "else nothing is tested"
    exported = torch.export.export(Layer(), (image,)).graph
    assert any("conv2d" in str(node.target) for node in exported.nodes)
    traced = torch.fx.symbolic_trace(Layer()).graph
    assert any("conv2d" in str(node.target) for node in traced.nodes)
    assert "_convolution" in str(torch.jit.trace(Layer(), image).graph)
