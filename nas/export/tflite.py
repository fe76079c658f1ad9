"""A network as TFLite, through the writer that also makes the files of the look-up tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from lut.tflite import Metadata, OperationWeights, quantize, write_network
from nas.export.metadata import ImageMetadata
from nas.files import replacing
from search_spaces import Architecture
from supernet import CompactNetwork
from supernet.compact import ConvLayer, LinearLayer, NormLayer
from supernet.norms import LayerNormLayer


def weights_of(network: CompactNetwork) -> dict[str, OperationWeights]:
    """Weights by operation name, normalisation folded in, in torch's layout."""
    weights = {}
    for operation in network.network.operations:
        match operation.type:
            case "conv":
                layer = network.layer(operation.name)
                assert isinstance(layer, ConvLayer)
                weights[operation.name] = _weights(*layer.folded())
            case "linear":
                linear = network.layer(operation.name)
                assert isinstance(linear, LinearLayer)
                weights[operation.name] = _weights(linear.linear.weight, linear.linear.bias)
            case "batch_norm" | "layer_norm":
                normal = network.layer(operation.name)
                assert isinstance(normal, NormLayer | LayerNormLayer)
                weights[operation.name] = _weights(*normal.folded())
    return weights


def _weights(weight: Tensor, bias: Tensor | None) -> OperationWeights:
    return OperationWeights(
        weight.detach().float().cpu().numpy(),
        None if bias is None else bias.detach().float().cpu().numpy(),
    )


def content(
    network: CompactNetwork, metadata: ImageMetadata, architecture: Architecture | None
) -> bytes:
    """The float32 file of batch 1, NHWC; metadata is JSON under the name ``network``.

    Raises:
        UserError: ai-edge-litert is missing.
    """
    extra = {"task": metadata.task}
    described = Metadata(
        labels=metadata.labels,
        mean=metadata.mean,
        std=metadata.std,
        layout=metadata.at("NHWC").layout,
        resolution=metadata.resolution,
        extra=extra if architecture is None else {**extra, "architecture": architecture.to_dict()},
    )
    return write_network(network.network, weights_of(network), described)


def write(
    network: CompactNetwork,
    path: Path,
    metadata: ImageMetadata,
    architecture: Architecture | None,
) -> None:
    """Write the file of `content`. Errors as there."""
    data = content(network, metadata, architecture)
    with replacing(path) as file:
        file.write(data)


def write_int8(
    network: CompactNetwork,
    path: Path,
    metadata: ImageMetadata,
    architecture: Architecture | None,
    images: Sequence[Tensor],
) -> None:
    """Write a full-integer file, its input and output int8 too; weights have a scale a filter.

    Raises:
        UserError: as `content`; images of another shape, an operation without an int8 kernel.
    """
    single = (
        image.permute(1, 2, 0)[None].contiguous().cpu().numpy()
        for batch in images
        for image in batch
    )
    data = quantize(content(network, metadata, architecture), single)
    with replacing(path) as file:
        file.write(data)
