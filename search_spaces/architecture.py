"""An architecture: a frozen mapping from choice name to value, stored as small JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import index
from pathlib import Path
from types import MappingProxyType
from typing import Any

from search_spaces.errors import UserError

ARCHITECTURE_SCHEMA = 1


@dataclass(frozen=True)
class Architecture(Mapping[str, int]):
    """One network of a space: a value for every choice, canonical (dead choices held fixed).

    ``space`` and ``settings`` find the space by name; ``graph`` embeds it where it cannot be
    found by name (a traced network). Two architectures are equal when all of this is.
    """

    space: str
    space_fingerprint: str
    choices: Mapping[str, int]
    resolution: int
    classes: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    graph: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", MappingProxyType(dict(self.choices)))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def __getitem__(self, name: str) -> int:
        return self.choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.choices)

    def __len__(self) -> int:
        return len(self.choices)

    def __hash__(self) -> int:
        return hash((self.space, self.resolution, self.classes, frozenset(self.choices.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.to_dict() == other.to_dict()

    def __reduce__(self) -> tuple[Any, ...]:
        return Architecture.from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """The architecture as plain JSON types."""
        data: dict[str, Any] = {
            "schema": ARCHITECTURE_SCHEMA,
            "space": self.space,
            "space_fingerprint": self.space_fingerprint,
            "choices": dict(self.choices),
            "resolution": self.resolution,
            "classes": self.classes,
            "settings": dict(self.settings),
        }
        if self.graph is not None:
            data["graph"] = self.graph
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """The inverse of `to_dict`; the choices are checked by the space, not here.

        Raises:
            UserError: not an architecture of a schema that this version reads.
        """
        if not isinstance(data, Mapping) or "choices" not in data or "space" not in data:
            raise UserError("not an architecture: it has no 'space' and 'choices'")
        if data.get("schema") != ARCHITECTURE_SCHEMA:
            raise UserError(
                f"architecture has schema {data.get('schema')!r}, this version reads "
                f"{ARCHITECTURE_SCHEMA}"
            )
        try:
            return cls(
                space=str(data["space"]),
                space_fingerprint=str(data["space_fingerprint"]),
                choices={str(k): index(v) for k, v in data["choices"].items()},
                resolution=index(data["resolution"]),
                classes=index(data["classes"]),
                settings=data.get("settings", {}),
                graph=data.get("graph"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"not an architecture: {error!r}") from None

    @classmethod
    def load(cls, path: Path) -> Architecture:
        """Read an architecture file.

        Raises:
            UserError: the file is missing, truncated or no architecture.
        """
        try:
            data = json.loads(path.read_text())
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise UserError(f"{path}: not JSON, truncated? ({error})") from None
        try:
            return cls.from_dict(data)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
