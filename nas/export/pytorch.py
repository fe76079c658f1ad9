"""A network as one safetensors file: weights, description, architecture, metadata. No pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nas.export.metadata import ImageMetadata
from nas.files import replacing
from search_spaces import Architecture, Network, UserError
from supernet import CompactNetwork

KIND = "netadapt-network"
FILE_SCHEMA = 1


class ExportedNetwork(CompactNetwork):
    """A network read from a file, with what its file says about it.

    Args:
        network: the description.
        metadata: how images go in, what comes out.
        architecture: the choices in its search space; None where the file names none.
    """

    def __init__(
        self, network: Network, metadata: ImageMetadata, architecture: Architecture | None
    ) -> None:
        super().__init__(network)
        self.metadata = metadata
        self.architecture = architecture


def write(
    network: CompactNetwork,
    path: Path,
    metadata: ImageMetadata,
    architecture: Architecture | None,
) -> None:
    """Write the file atomically; it loads with ``nas.load(path)``."""
    header = {
        "kind": KIND,
        "schema": str(FILE_SCHEMA),
        "network": json.dumps(network.network.to_dict()),
        "metadata": json.dumps(metadata.at("NCHW").to_dict()),
    }
    if architecture is not None:
        header["architecture"] = json.dumps(architecture.to_dict())
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    with replacing(path) as file:
        file.write(save(tensors, header))


def load(path: Path | str) -> ExportedNetwork:
    """Read an exported network, in evaluation mode.

    The file holds the resolved description, so it loads without its search space.

    Raises:
        UserError: the file is missing, truncated, foreign or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, str] = file.metadata() or {}
            _check(path, header)
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file, truncated? ({error})") from None
    try:
        architecture = _json(header.get("architecture", "null"))
        network = ExportedNetwork(
            Network.from_dict(_json(header["network"])),
            ImageMetadata.from_dict(_json(header["metadata"])),
            None if architecture is None else Architecture.from_dict(architecture),
        )
        network.load_state_dict(tensors)
    except (KeyError, UserError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: description and weights do not fit ({reason})") from None
    return network.eval()


def _check(path: Path, header: dict[str, str]) -> None:
    if header.get("kind") != KIND:
        raise UserError(f"{path}: weights, but not an exported network; write one with nas export")
    if header.get("schema") != str(FILE_SCHEMA):
        raise UserError(
            f"{path}: exported network has schema {header.get('schema')}, "
            f"this version reads {FILE_SCHEMA}"
        )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"damaged header: {error}") from None
