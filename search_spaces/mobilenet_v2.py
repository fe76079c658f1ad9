"""MobileNetV2 (Sandler et al., CVPR 2018): the published network is the largest.

Rounding at a width: `make_divisible` to multiples of 8; the last 1280 filters grow above
multiplier 1 and never shrink below it.
"""

from __future__ import annotations

from typing import Any

from search_spaces.builder import GraphBuilder
from search_spaces.choices import Width, make_divisible
from search_spaces.nodes import Lowering
from search_spaces.registry import register
from search_spaces.space import SearchSpace

# expansion factor, filters, blocks, stride
STAGES = (
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@register
def mobilenet_v2(
    *,
    classes: int = 1000,
    resolution: int = 224,
    channels: int = 3,
    multiplier: float = 1.0,
    bypass: bool = True,
    lowering: Lowering = "concat",
) -> SearchSpace:
    """MobileNetV2 at a width multiplier.

    Args:
        classes: outputs of the classifier.
        resolution: height and width of the input in pixels.
        channels: of the input image.
        multiplier: scales every width.
        bypass: channel-level bypass connections, and with them removable units.
        lowering: how a device adds tensors of unequal width.
    """

    def scale(width: int) -> int:
        return make_divisible(width * multiplier)

    graph = GraphBuilder(input_channels=channels, resolution=resolution, bypass=bypass)
    relu6: dict[str, Any] = {"activation": "relu6"}
    x = graph.conv_unit("stem", "input", scale(32), kernel=3, stride=2, **relu6)
    x = graph.separable("stage1.block1", x, scale(16), kernels=(3,), **relu6)
    for s, (factor, filters, blocks, stride) in enumerate(STAGES, 2):
        for b in range(1, blocks + 1):
            x = graph.inverted_residual(
                f"stage{s}.block{b}",
                x,
                scale(filters),
                graph.channels(x) * factor,
                kernels=(3,),
                stride=stride if b == 1 else 1,
                **relu6,
            )
    x = graph.conv_unit("head", x, max(1280, scale(1280)), kernel=1, **relu6)
    x = graph.global_pool("pool", x)
    x = graph.linear("classifier", x, Width(classes))
    return graph.build("mobilenet_v2", x, classes=classes, lowering=lowering)
