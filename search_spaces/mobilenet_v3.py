"""MobileNetV3 (Howard et al., ICCV 2019): the search space of NetAdaptV2, and the references.

Rounding of the references at a width, as the published networks have it: every width by
`make_divisible` to multiples of 8, every expansion as its ratio to the unit's rounded input width,
rounded likewise; the last hidden layer (1280 or 1024) stays. The search spaces scale T and E.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from search_spaces.builder import GraphBuilder
from search_spaces.choices import Width, make_divisible
from search_spaces.nodes import Lowering
from search_spaces.operation import Activation
from search_spaces.registry import register
from search_spaces.space import SearchSpace


class Block(NamedTuple):
    """One block in the largest network; ``expansion`` None is a separable pair."""

    filters: int
    expansion: int | None
    kernels: tuple[int, ...]
    stride: int
    activation: Activation
    squeeze_excite: bool


RELU: Activation = "relu"
SWISH: Activation = "hard_swish"

Stages = Sequence[Sequence[Block]]


def _stage(
    blocks: int,
    filters: int,
    expansion: int | None,
    stride: int,
    activation: Activation,
    squeeze_excite: bool,
    kernels: tuple[int, ...] = (3, 5, 7),
) -> list[Block]:
    return [
        Block(filters, expansion, kernels, stride if i == 0 else 1, activation, squeeze_excite)
        for i in range(blocks)
    ]


def _build(
    name: str,
    stages: Stages,
    *,
    stem: int,
    stem_stride: int = 2,
    head: int,
    features: int,
    classes: int,
    resolution: int,
    channels: int,
    multiplier: float,
    bypass: bool,
    lowering: Lowering,
    expansion_ratios: bool = False,
) -> SearchSpace:
    def scale(width: int) -> int:
        return width if multiplier == 1 else make_divisible(width * multiplier)

    graph = GraphBuilder(input_channels=channels, resolution=resolution, bypass=bypass)
    x = graph.conv_unit(
        "stem", "input", scale(stem), kernel=3, stride=stem_stride, activation=SWISH
    )
    before = stem
    for s, blocks in enumerate(stages, 1):
        for b, block in enumerate(blocks, 1):
            common: dict[str, Any] = {
                "kernels": block.kernels,
                "stride": block.stride,
                "activation": block.activation,
                "squeeze_excite": block.squeeze_excite,
            }
            unit = f"stage{s}.block{b}"
            if block.expansion is None:
                x = graph.separable(unit, x, scale(block.filters), **common)
            else:
                expansion = scale(block.expansion)
                if expansion_ratios:
                    expansion = make_divisible(graph.channels(x) * block.expansion / before)
                x = graph.inverted_residual(unit, x, scale(block.filters), expansion, **common)
            before = block.filters
    x = graph.conv_unit("head", x, scale(head), kernel=1, activation=SWISH)
    x = graph.global_pool("pool", x)
    x = graph.linear_unit("features", x, features, activation=SWISH)
    x = graph.linear("classifier", x, Width(classes))
    return graph.build(name, x, classes=classes, lowering=lowering)


@register
def mobilenet_v3(
    *,
    classes: int = 1000,
    resolution: int = 224,
    channels: int = 3,
    multiplier: float = 1.0,
    bypass: bool = True,
    lowering: Lowering = "concat",
) -> SearchSpace:
    """The space of NetAdaptV2, from MobileNetV3-Large made wider and deeper.

    Args:
        classes: outputs of the classifier.
        resolution: height and width of the input in pixels.
        channels: of the input image.
        multiplier: scales T and the largest E of every unit.
        bypass: channel-level bypass connections, and with them removable units.
        lowering: how a device adds tensors of unequal width.
    """
    stages = (
        _stage(1, 24, None, 1, RELU, False, kernels=(3,)),
        _stage(3, 32, 192, 2, RELU, False),
        _stage(4, 48, 288, 2, RELU, True),
        _stage(5, 104, 624, 2, SWISH, False),
        _stage(4, 144, 864, 1, SWISH, True),
        _stage(4, 208, 1248, 2, SWISH, True),
    )
    return _build(
        "mobilenet_v3",
        stages=stages,
        stem=24,
        head=1152,
        features=1280,
        classes=classes,
        resolution=resolution,
        channels=channels,
        multiplier=multiplier,
        bypass=bypass,
        lowering=lowering,
    )


@register
def mobilenet_v3_tiny(
    *,
    classes: int = 10,
    resolution: int = 32,
    channels: int = 3,
    multiplier: float = 1.0,
    bypass: bool = True,
    lowering: Lowering = "concat",
) -> SearchSpace:
    """A small space of the same make for images of 16 to 32 px. Arguments: `mobilenet_v3`."""
    stages = (
        _stage(1, 16, None, 1, RELU, False, kernels=(3,)),
        _stage(2, 24, 96, 2, RELU, False, kernels=(3, 5)),
        _stage(3, 40, 160, 2, SWISH, True, kernels=(3, 5)),
    )
    return _build(
        "mobilenet_v3_tiny",
        stages=stages,
        stem=16,
        stem_stride=1,
        head=160,
        features=128,
        classes=classes,
        resolution=resolution,
        channels=channels,
        multiplier=multiplier,
        bypass=bypass,
        lowering=lowering,
    )


@register
def mobilenet_v3_large(
    *,
    classes: int = 1000,
    resolution: int = 224,
    channels: int = 3,
    multiplier: float = 1.0,
    bypass: bool = False,
    lowering: Lowering = "concat",
) -> SearchSpace:
    """MobileNetV3-Large as the largest network. Arguments: `mobilenet_v3`."""
    stages = (
        [Block(16, None, (3,), 1, RELU, False)],
        [Block(24, 64, (3,), 2, RELU, False), Block(24, 72, (3,), 1, RELU, False)],
        [Block(40, 72, (5,), 2, RELU, True), *[Block(40, 120, (5,), 1, RELU, True)] * 2],
        [
            Block(80, 240, (3,), 2, SWISH, False),
            Block(80, 200, (3,), 1, SWISH, False),
            *[Block(80, 184, (3,), 1, SWISH, False)] * 2,
        ],
        [Block(112, 480, (3,), 1, SWISH, True), Block(112, 672, (3,), 1, SWISH, True)],
        [Block(160, 672, (5,), 2, SWISH, True), *[Block(160, 960, (5,), 1, SWISH, True)] * 2],
    )
    return _build(
        "mobilenet_v3_large",
        stages=stages,
        stem=16,
        head=960,
        features=1280,
        expansion_ratios=True,
        classes=classes,
        resolution=resolution,
        channels=channels,
        multiplier=multiplier,
        bypass=bypass,
        lowering=lowering,
    )


@register
def mobilenet_v3_small(
    *,
    classes: int = 1000,
    resolution: int = 224,
    channels: int = 3,
    multiplier: float = 1.0,
    bypass: bool = False,
    lowering: Lowering = "concat",
) -> SearchSpace:
    """MobileNetV3-Small as the largest network. Arguments: `mobilenet_v3`."""
    stages = (
        [Block(16, None, (3,), 2, RELU, True)],
        [Block(24, 72, (3,), 2, RELU, False), Block(24, 88, (3,), 1, RELU, False)],
        [Block(40, 96, (5,), 2, SWISH, True), *[Block(40, 240, (5,), 1, SWISH, True)] * 2],
        [Block(48, 120, (5,), 1, SWISH, True), Block(48, 144, (5,), 1, SWISH, True)],
        [Block(96, 288, (5,), 2, SWISH, True), *[Block(96, 576, (5,), 1, SWISH, True)] * 2],
    )
    return _build(
        "mobilenet_v3_small",
        stages=stages,
        stem=16,
        head=576,
        features=1024,
        expansion_ratios=True,
        classes=classes,
        resolution=resolution,
        channels=channels,
        multiplier=multiplier,
        bypass=bypass,
        lowering=lowering,
    )
