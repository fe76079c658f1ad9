"""What the records are made of: checked architectures and numbers, and parts that several share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, PlainSerializer, PlainValidator

from nas.tasks.score import Score
from search_spaces import Architecture, SearchSpace, UserError, space_of

Role = Literal["largest", "scaled", "pruned", "discovered", "random", "member", "other"]
"""What a trained network is in a comparison: the largest of the space; one of the same cost by a
width multiplier or by pruning; the best that a search found; the best that was drawn at random;
another member of a search's family."""


class Record:
    """Base of everything that a result file holds: types are kept to, numbers are finite."""

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)


@lru_cache(maxsize=8)
def _space(stored: str) -> SearchSpace:
    return space_of(Architecture.from_dict(json.loads(stored)))


def checked_architecture(data: Any) -> Architecture:
    """A stored architecture, its choices checked by its space.

    One of a space that is not known here, or has changed since, is taken as it stands: its
    figures can still be shown, and whoever builds it is told.

    Raises:
        UserError: not an architecture, or none of its space.
    """
    found = data if isinstance(data, Architecture) else Architecture.from_dict(data)
    plain = found.to_dict()
    try:
        # a family is of one space, which is built once
        space = _space(json.dumps({**plain, "choices": {}}, sort_keys=True))
    except UserError:
        return found
    space.architecture(found.choices)
    return found


CheckedArchitecture = Annotated[
    Architecture, PlainValidator(checked_architecture), PlainSerializer(Architecture.to_dict)
]


@dataclass(frozen=True)
class Encoder(Record):
    """A trained network whose layers another one started from.

    ``seconds`` is what its own training took, None where no result beside it says so; ``layers``
    of the ``of`` layers with weights were taken over.
    """

    path: str
    task: str
    layers: int
    of: int
    seconds: float | None


@dataclass(frozen=True)
class Reference(Record):
    """What is reached without a network, say by the mean of all targets."""

    score: Score
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer(Record):
    """The latency of one operation of a network, in milliseconds."""

    name: str
    type: str
    latency_ms: float


@dataclass(frozen=True)
class Shipped(Record):
    """A trained network as the file that ships, scored on the test split as that file.

    ``fine_tuned`` says whether the training ended with epochs in which weights and activations
    were rounded; of the network before them there is no ``file``. Latencies are of ``device``, the
    measured one of this machine only; None is unknown.
    """

    precision: Literal["float32", "int8"]
    score: Score
    bytes: int
    fine_tuned: bool = False
    file: str | None = None
    device: str = ""
    latency_predicted_ms: float | None = None
    latency_measured_ms: float | None = None


@dataclass(frozen=True)
class Budget(Record):
    """An absolute budget of a metric."""

    value: float
    unit: str = ""


def clean(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value
