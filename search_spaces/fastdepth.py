"""FastDepth (Wofk et al., ICRA 2019): MobileNetV1 encoder, NNConv5 decoder, additive skips."""

from __future__ import annotations

from typing import Literal, get_args

from search_spaces.builder import GraphBuilder
from search_spaces.choices import Width, make_divisible
from search_spaces.errors import UserError, unknown
from search_spaces.mobilenet_v1 import encoder
from search_spaces.nodes import Lowering
from search_spaces.registry import register
from search_spaces.space import SearchSpace

Head = Literal["depth", "logits"]

DECODER = (512, 256, 128, 64, 32)

# decoder unit → encoder tensor (0 the stem, i the block i) that is added after its upsampling
SKIPS = {2: 5, 3: 3, 4: 1}


@register
def fastdepth(
    *,
    resolution: int = 224,
    channels: int = 3,
    classes: int = 1,
    multiplier: float = 1.0,
    bypass: bool = True,
    kernels: tuple[int, ...] = (3, 5),
    lowering: Lowering = "concat",
    head: Head = "depth",
) -> SearchSpace:
    """FastDepth before pruning as the largest network; one output channel of depth in metres.

    With ``head`` "logits" the last layer is linear: a small U-Net for classes of pixels.

    Args:
        resolution: height and width of the input and of the depth map, a multiple of 32 pixels.
        channels: of the input image.
        classes: channels of the output.
        multiplier: scales every width.
        bypass: channel-level bypass connections, and with them removable units.
        kernels: of the decoder's depthwise convolutions.
        lowering: how a device adds tensors of unequal width.
        head: ``depth`` ends in a normalised layer and ReLU, as published; ``logits`` in a linear
            one with bias.

    Raises:
        UserError: the resolution is not a multiple of 32, so the skips would not meet; another
            head.
    """
    if head not in get_args(Head):
        raise unknown("head", head, get_args(Head))
    if resolution % 32:
        raise UserError(f"fastdepth: {resolution} px is not a multiple of 32")
    graph = GraphBuilder(input_channels=channels, resolution=resolution, bypass=bypass)
    encoded = encoder(graph, multiplier=multiplier, activation="relu")
    x = encoded[-1]
    for i, filters in enumerate(DECODER, 1):
        x = graph.separable(
            f"decoder{i}",
            x,
            make_divisible(filters * multiplier),
            kernels=kernels,
            activation="relu",
            pointwise_activation="relu",
            residual=False,
        )
        x = graph.resize(f"upsample{i}", x)
        if i in SKIPS:
            x = graph.skip(f"skip{i}", x, encoded[SKIPS[i]])
    if head == "depth":
        x = graph.conv("depth", x, Width(classes), activation="relu")
    else:
        x = graph.conv("logits", x, Width(classes), norm=False, bias=True)
    return graph.build("fastdepth", x, classes=classes, lowering=lowering)
