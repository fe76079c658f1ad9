"""A network as ONNX, through torch's exporter."""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import torch

from nas.export.metadata import ImageMetadata
from nas.files import replacing
from search_spaces import Architecture, UserError
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
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise UserError(
                f"ONNX export needs the package {package}: pip install 'netadapt[onnx]'"
            )
    # batch 2, because torch.export takes a batch of 1 for a constant
    example = torch.zeros(2, *network.network.input_shape)
    outputs = network.network.outputs
    training = network.training
    network.eval()
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), _quiet():
            warnings.simplefilter("ignore")
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


class _quiet:  # noqa: N801
    """Keeps the exporter's notes about itself out of a command's output."""

    def __enter__(self) -> None:
        self.level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self.level)
