"""Any convolutional network as a search space of its widths."""

from __future__ import annotations

from torch import Tensor, nn

from nas.tracing.calls import Problem, Reader
from nas.tracing.exported import export
from nas.tracing.fusion import fuse
from nas.tracing.groups import searched
from search_spaces import SearchSpace, UserError
from search_spaces.space import INPUT

Weights = dict[str, Tensor]
"""``NODE.weight``, ``NODE.bias``, ``NODE.norm.weight``, ``….norm.bias``, ``….norm.running_mean``
and ``….norm.running_var`` → tensor, in torch's layouts; NODE is the module's path."""


def space_from_model(
    model: nn.Module, resolution: int, *, channels: int | None = None, name: str | None = None
) -> tuple[SearchSpace, Weights]:
    """The space of a trained network's widths, with the network as the largest, and its weights.

    One width choice for every channel group (METHOD, units and channel groups); kernels and
    depth stay. The space is embedded: its architectures carry the graph.

    Args:
        model: any module of convolutions, batch norms, poolings, additions, concatenations,
            gates and linear layers on one image batch; it is run without data and left as it was.
        resolution: height and width of the input in pixels.
        channels: of the input image; by default what the first convolution takes.
        name: of the space; by default the class of the model.

    Raises:
        UserError: the model does not trace, or holds what cannot be described; every such
            place is named with its reason.
    """
    name = name or type(model).__name__
    channels = channels or _channels(model)
    reader = Reader(export(model, channels, resolution), (channels, resolution, resolution))
    reader.read()
    if reader.problems:
        raise UserError(f"{name} cannot be described: {_sentence(reader.problems)}")
    if not reader.outputs or INPUT in reader.outputs:
        raise UserError(f"{name} cannot be described: an output is not computed by any layer")
    nodes, outputs, weights = fuse(reader.nodes, reader.outputs, reader.weights)
    searched_nodes, choices, units = searched(nodes, outputs, reader.shapes)
    if not choices:
        raise UserError(f"{name} has no width that could change: inputs and outputs stay fixed")
    space = SearchSpace(
        name=name,
        settings={},
        nodes=tuple(searched_nodes),
        choices=choices,
        units=tuple(units),
        outputs=tuple(outputs),
        input_channels=channels,
        resolution=resolution,
        classes=reader.shapes[outputs[0]][0],
        embedded=True,
    )
    flat = {f"{node}.{key}": t for node, tensors in weights.items() for key, t in tensors.items()}
    return space, flat


def _channels(model: nn.Module) -> int:
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def _sentence(problems: list[Problem], shown: int = 3) -> str:
    places: dict[str, list[str]] = {}
    for problem in problems:
        places.setdefault(problem.reason, []).append(problem.where)
    parts = [
        f"{where[0]}: {reason}" + (f" (and {len(where) - 1} more places)" if where[1:] else "")
        for reason, where in places.items()
    ]
    rest = f"; and {len(parts) - shown} more reasons" if len(parts) > shown else ""
    return "; ".join(parts[:shown]) + rest
