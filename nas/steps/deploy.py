"""From a run to a deployable file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.export import ImageMetadata
from nas.export import export as write
from nas.runs.folder import step_folder
from nas.runs.weights import TrainedNetwork, load_network


def metadata_of(trained: TrainedNetwork) -> ImageMetadata:
    """What an application must know to use the network."""
    prepared = trained.preparation
    return ImageMetadata(
        mean=prepared.mean,
        std=prepared.std,
        resolution=trained.architecture.resolution,
        labels=prepared.labels,
        task=prepared.task,
    )


def export_network(path: Path, *, format: str, out: Path | None = None) -> dict[str, Any]:
    """Write the trained network of a run in a format; the default place is beside its weights.

    Raises:
        UserError: no trained network there, unknown format.
    """
    trained = load_network(path)
    written = write(
        trained.module,
        out or step_folder(path).exported,
        format=format,
        metadata=metadata_of(trained),
        architecture=trained.architecture,
    )
    return {
        "schema": 1,
        "file": str(written),
        "format": format,
        "bytes": written.stat().st_size,
        "macs": trained.module.network.macs,
        "params": trained.module.network.params,
    }
