"""What an application must know to feed a network and to read its output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from search_spaces import Network, UserError

Layout = Literal["NCHW", "NHWC"]

METADATA_SCHEMA = 1


@dataclass(frozen=True)
class ImageMetadata:
    """How images go in and what the outputs mean.

    The network reads (pixel / 255 − mean) / std, one mean and std a channel. ``labels`` are the
    names of a classifier's outputs in order; empty for a map. ``layout`` is set by each format.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resolution: int
    labels: tuple[str, ...] = ()
    layout: Layout = "NCHW"
    task: str = ""

    def check(self, network: Network) -> None:
        """Refuse metadata that does not fit the network.

        Raises:
            UserError: channels, resolution or the number of labels differ.
        """
        channels = network.input_shape[0]
        if len(self.mean) != channels or len(self.std) != channels:
            raise UserError(
                f"the network reads {channels} channels, the metadata has {len(self.mean)} means "
                f"and {len(self.std)} standard deviations"
            )
        if self.resolution != network.resolution:
            raise UserError(
                f"the network reads {network.resolution} px, the metadata says {self.resolution}"
            )
        outputs = network.output_shapes[0]
        if self.labels and outputs[1:] == (1, 1) and len(self.labels) != outputs[0]:
            raise UserError(
                f"the network has {outputs[0]} outputs, the metadata {len(self.labels)} labels"
            )

    def at(self, layout: Layout) -> ImageMetadata:
        """The same for files of another layout."""
        return replace(self, layout=layout)

    def to_dict(self) -> dict[str, Any]:
        """The metadata as plain JSON types."""
        return {"schema": METADATA_SCHEMA, **asdict(self)}

    def properties(self) -> dict[str, str]:
        """Flat text properties: lists as JSON, the rest as it is."""
        return {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in self.to_dict().items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImageMetadata:
        """The inverse of `to_dict`.

        Raises:
            UserError: another schema, or a field is missing.
        """
        if not isinstance(data, Mapping) or data.get("schema") != METADATA_SCHEMA:
            raise UserError("metadata of an unknown schema")
        try:
            return cls(
                mean=tuple(float(v) for v in data["mean"]),
                std=tuple(float(v) for v in data["std"]),
                resolution=int(data["resolution"]),
                labels=tuple(str(v) for v in data["labels"]),
                layout=data["layout"],
                task=str(data["task"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not image metadata: {error!r}") from None
