"""Spaces that cannot be found by name, stored inside their architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from search_spaces import cuts, joins, nodes, norms
from search_spaces.choices import Choice, Unit, Width
from search_spaces.errors import UserError
from search_spaces.nodes import Node
from search_spaces.space import GRAPH_SCHEMA, SearchSpace

NODE_TYPES: dict[str, type[Node]] = {
    cls.__name__: cls
    for module in (nodes, joins, norms, cuts)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Node) and cls is not Node
}


def graph_from_dict(data: Mapping[str, Any]) -> SearchSpace:
    """The inverse of `SearchSpace.to_dict`.

    Raises:
        UserError: not a stored graph of a schema that this version reads.
    """
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if schema != GRAPH_SCHEMA:
        raise UserError(f"stored graph has schema {schema!r}, this version reads {GRAPH_SCHEMA}")
    try:
        choices = [Choice(**{**c, "values": tuple(c["values"])}) for c in data["choices"]]
        return SearchSpace(
            name=data["name"],
            settings={},
            nodes=tuple(_node(n) for n in data["nodes"]),
            choices={choice.name: choice for choice in choices},
            units=tuple(_unit(unit) for unit in data["units"]),
            outputs=tuple(data["outputs"]),
            input_channels=data["input_channels"],
            resolution=data["resolution"],
            classes=data["classes"],
            lowering=data["lowering"],
            embedded=True,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"not a stored graph: {error!r}") from None


def _unit(data: Mapping[str, Any]) -> Unit:
    # files of the first versions say a resolution, which follows from the rest
    return Unit(**{key: value for key, value in data.items() if key != "resolution"})


def _node(data: Mapping[str, Any]) -> Node:
    cls = NODE_TYPES[data["node"]]
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in data.items()
        if key != "node"
    }
    if "filters" in values and get_type_hints(cls)["filters"] is Width:
        values["filters"] = Width(**data["filters"])
    return cls(**values)
