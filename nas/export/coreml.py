"""A network as a Core ML package (``.mlpackage``), through coremltools."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch

from nas.export.metadata import ImageMetadata
from nas.export.packages import needs, quiet
from search_spaces import Architecture, UserError
from supernet import CompactNetwork


def write(
    network: CompactNetwork,
    path: Path,
    metadata: ImageMetadata,
    architecture: Architecture | None,
) -> None:
    """Write a float32 package, a folder: input ``image`` (1, C, H, W), output ``output``.

    Labels, mean, standard deviation, layout and resolution are in its user-defined metadata.
    Converting works on any system; only Apple's run the result.

    Raises:
        UserError: the packages of the extra ``coreml`` are missing, or another suffix.
    """
    needs("Core ML export", ("coremltools",), "coreml")
    if path.suffix != ".mlpackage":
        raise UserError(f"{path}: a Core ML package is called NAME.mlpackage")
    training = network.training
    network.eval()
    try:
        with quiet(), torch.no_grad():
            import coremltools

            example = torch.zeros(1, *network.network.input_shape)
            program = torch.export.export(network, (example,)).run_decompositions({})
            outputs = network.network.outputs
            names = (
                ["output"] if len(outputs) == 1 else [name.replace(".", "_") for name in outputs]
            )
            package = coremltools.convert(
                program,
                inputs=[coremltools.TensorType(name="image", shape=example.shape)],
                outputs=[coremltools.TensorType(name=name) for name in names],
                minimum_deployment_target=coremltools.target.iOS16,
                compute_precision=coremltools.precision.FLOAT32,
                skip_model_load=True,
            )
            properties = metadata.at("NCHW").properties()
            if architecture is not None:
                properties["architecture"] = json.dumps(architecture.to_dict())
            package.user_defined_metadata.update(properties)
            with tempfile.TemporaryDirectory(dir=_made(path.parent)) as folder:
                made = Path(folder) / path.name
                package.save(str(made))
                if path.exists():
                    shutil.rmtree(path)
                made.rename(path)
    finally:
        network.train(training)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
