"""A network as an ExecuTorch program (``.pte``) for XNNPACK, through ExecuTorch's own exporter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.export.metadata import ImageMetadata
from nas.export.packages import needs, quiet
from nas.files import replacing
from search_spaces import Architecture
from supernet import CompactNetwork

METADATA = "metadata"
"""The program's second method, which returns our JSON."""


def write(
    network: CompactNetwork,
    path: Path,
    metadata: ImageMetadata,
    architecture: Architecture | None,
) -> None:
    """Write a float32 program: ``forward`` takes (1, C, H, W), ``metadata`` returns JSON.

    Raises:
        UserError: the packages of the extra ``executorch`` are missing.
    """
    needs("ExecuTorch export", ("executorch",), "executorch")
    with quiet(), _evaluating(network):
        program = torch.export.export(network, (_example(network),))
        content = _lowered(program, metadata, architecture)
    with replacing(path) as file:
        file.write(content)


def write_int8(
    network: CompactNetwork,
    path: Path,
    metadata: ImageMetadata,
    architecture: Architecture | None,
    images: Sequence[Tensor],
) -> None:
    """Write a program whose inside is int8 (PT2E, XNNPACK's scheme: symmetric per-channel
    weights); it takes and returns float32 as `write`'s.

    Raises:
        UserError: the packages of the extra ``executorch`` are missing.
    """
    needs("ExecuTorch export", ("executorch", "torchao"), "executorch")
    with quiet(), _evaluating(network):
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        example = (_example(network),)
        scheme = XNNPACKQuantizer().set_global(
            get_symmetric_quantization_config(is_per_channel=True)
        )
        observed = prepare_pt2e(torch.export.export(network, example).module(), scheme)
        for batch in images:
            for image in batch:
                observed(image[None].contiguous())
        program = torch.export.export(convert_pt2e(observed), example)
        content = _lowered(program, metadata, architecture)
    with replacing(path) as file:
        file.write(content)


def _lowered(program: Any, metadata: ImageMetadata, architecture: Architecture | None) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    told = metadata.at("NCHW").to_dict()
    if architecture is not None:
        told["architecture"] = architecture.to_dict()
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[XnnpackPartitioner()],
        constant_methods={METADATA: json.dumps(told)},
    )
    return bytes(edge.to_executorch().buffer)


def _example(network: CompactNetwork) -> Tensor:
    return torch.zeros(1, *network.network.input_shape)


class _evaluating:  # noqa: N801
    """A module in evaluation mode for a while, without gradients."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.training = module, module.training

    def __enter__(self) -> None:
        self.module.eval()
        self.grad = torch.no_grad()
        self.grad.__enter__()

    def __exit__(self, *_: object) -> None:
        self.grad.__exit__(None, None, None)
        self.module.train(self.training)
