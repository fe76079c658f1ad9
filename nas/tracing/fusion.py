"""Batch norms and activations move into the node before them, as a device folds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from search_spaces.joins import Add
from search_spaces.nodes import Conv, Elementwise, Linear, Node

Weights = dict[str, dict[str, Tensor]]


def fuse(
    nodes: Sequence[Node], outputs: Sequence[str], weights: Weights
) -> tuple[list[Node], list[str], Weights]:
    """Fold every norm that follows a convolution, and every activation that something can carry.

    Only where nothing else reads the tensor in between. A silu that was written as a product
    leaves its sigmoid unread; such nodes are dropped.
    """
    nodes = _read(nodes, outputs)
    uses = Counter(name for node in nodes for name in node.inputs)
    uses.update(outputs)
    renamed: dict[str, str] = {}
    fused: dict[str, Node] = {}
    carried = {name: dict(tensors) for name, tensors in weights.items()}
    # one name may stand for a chain of fused ones, so uses are counted where the chain ends
    reads = dict(uses)
    for node in nodes:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        node = replace(node, inputs=inputs)
        before = fused.get(inputs[0])
        if isinstance(node, Elementwise) and before is not None and reads[inputs[0]] == 1:
            merged = _merge(before, node)
            if merged is not None:
                fused[before.name] = merged
                renamed[node.name] = before.name
                reads[before.name] = uses[node.name]
                carried[before.name].update(carried.pop(node.name))
                continue
        fused[node.name] = node
    kept = [renamed.get(name, name) for name in outputs]
    return list(fused.values()), kept, {name: carried[name] for name in fused}


def _merge(before: Node, node: Elementwise) -> Node | None:
    """The two as one node, None where they stay two."""
    if node.norm:
        if not isinstance(before, Conv) or before.norm or before.activation != "none":
            return None
        return replace(before, norm=True, norm_eps=node.norm_eps, activation=node.activation)
    plain = isinstance(before, Conv | Linear | Add) and before.activation == "none"
    after_norm = isinstance(before, Elementwise) and before.norm and before.activation == "none"
    if plain or after_norm:
        return replace(before, activation=node.activation)  # type: ignore[call-arg]
    return None


def _read(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    needed = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]
