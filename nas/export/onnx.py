"""A network as ONNX, through torch's exporter."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from nas.export.metadata import ImageMetadata
from nas.export.packages import needs, quiet
from nas.files import replacing
from search_spaces import Architecture
from supernet import CompactNetwork


def write(
    network: CompactNetwork,
    path: Path,
    metadata: ImageMetadata,
    architecture: Architecture | None,
) -> None:
    """Write one self-contained file; input ``image`` is (N, C, H, W) with any N.

    Labels, mean, standard deviation, layout and resolution are in ``metadata_props``.

    Raises:
        UserError: the packages of the extra ``onnx`` are missing.
    """
    needs("ONNX export", ("onnx", "onnxscript"), "onnx")
    # batch 2, because torch.export takes a batch of 1 for a constant
    example = torch.zeros(2, *network.network.input_shape)
    outputs = network.network.outputs
    training = network.training
    network.eval()
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=["output"] if len(outputs) == 1 else list(outputs),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    finally:
        network.train(training)
    assert program is not None
    properties = metadata.at("NCHW").properties()
    if architecture is not None:
        properties["architecture"] = json.dumps(architecture.to_dict())
    model = program.model_proto
    for key, value in properties.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    with replacing(path) as file:
        file.write(model.SerializeToString())
