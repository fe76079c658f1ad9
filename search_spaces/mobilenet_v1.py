"""MobileNetV1 (Howard et al., 2017): the published network is the largest.

Rounding at a width: `make_divisible` to multiples of 8.
"""

from __future__ import annotations

from search_spaces.builder import GraphBuilder
from search_spaces.choices import Width, make_divisible
from search_spaces.nodes import Lowering
from search_spaces.operation import Activation
from search_spaces.registry import register
from search_spaces.space import SearchSpace

# filters, stride
LAYERS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


def encoder(graph: GraphBuilder, *, multiplier: float, activation: Activation) -> list[str]:
    """Add the stem and the thirteen separable pairs; the tensors after each, in order."""

    def scale(width: int) -> int:
        return make_divisible(width * multiplier)

    stem = graph.conv_unit("stem", "input", scale(32), kernel=3, stride=2, activation=activation)
    tensors = [stem]
    for i, (filters, stride) in enumerate(LAYERS, 1):
        tensors.append(
            graph.separable(
                f"block{i}",
                tensors[-1],
                scale(filters),
                kernels=(3,),
                stride=stride,
                activation=activation,
                pointwise_activation=activation,
                residual=False,
            )
        )
    return tensors


@register
def mobilenet_v1(
    *,
    classes: int = 1000,
    resolution: int = 224,
    channels: int = 3,
    multiplier: float = 1.0,
    activation: Activation = "relu6",
    bypass: bool = True,
    lowering: Lowering = "concat",
) -> SearchSpace:
    """MobileNetV1 at a width multiplier.

    Args:
        classes: outputs of the classifier.
        resolution: height and width of the input in pixels.
        channels: of the input image.
        multiplier: scales every width.
        activation: ``relu6`` as the published weights have it; the paper says ReLU.
        bypass: channel-level bypass connections, and with them removable units.
        lowering: how a device adds tensors of unequal width.
    """
    graph = GraphBuilder(input_channels=channels, resolution=resolution, bypass=bypass)
    x = graph.global_pool("pool", encoder(graph, multiplier=multiplier, activation=activation)[-1])
    x = graph.linear("classifier", x, Width(classes))
    return graph.build("mobilenet_v1", x, classes=classes, lowering=lowering)
