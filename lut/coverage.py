"""What a search space asks of a table: every operation it can hold, and which to measure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from lut.interpolation import Axis, corners
from lut.signature import Family, Widths, signature
from search_spaces import SearchSpace
from search_spaces.nodes import Node, Tensor, prefix
from search_spaces.space import INPUT

Reachable = dict[Family, set[Widths]]

_State = tuple[int | None, tuple[tuple[str, int], ...]]
"""A width that a tensor can have (None where it is removed), and the choice it follows from."""


def reachable(spaces: Iterable[SearchSpace]) -> Reachable:
    """The signatures of every operation that a network of these spaces can hold."""
    found: Reachable = {}
    for space in spaces:
        _reach(space, found)
    return found


def _reach(space: SearchSpace, found: Reachable) -> None:
    sizes = {INPUT: (space.resolution, space.resolution)}
    states: dict[str, list[_State]] = {INPUT: [(space.input_channels, ())]}
    for node in space.nodes:
        present: list[tuple[dict[str, int], int]] = []
        absent = False
        for inputs, values in _cases(space, node, states):
            tensors = [
                None if width is None else Tensor(name, (width, *sizes[name]), prefix(width))
                for name, width in zip(node.inputs, inputs, strict=True)
            ]
            ample = dict(values)
            if node.requires is not None:
                ample.setdefault(node.requires, 1)  # any filters: only there or not counts
            operations, out = node.lower(tensors, ample, space.lowering)
            for operation in operations:
                family, widths = signature(operation)
                found.setdefault(family, set()).add(widths)
            if out is None:
                absent = True
            else:
                sizes[node.name] = out.shape[1:]
                present.append((values, out.channels))
        states[node.name] = _followed(present)
        if node.requires is not None:
            states[node.name].append((None, ((node.requires, 0),)))
        elif absent:
            states[node.name].append((None, ()))


def _implied(node: Node) -> bool:
    """True where the choice that removes the node says nothing else about it."""
    return node.requires is not None and node.choices().count(node.requires) == 1


def _cases(
    space: SearchSpace, node: Node, states: Mapping[str, list[_State]]
) -> Iterator[tuple[tuple[int | None, ...], dict[str, int]]]:
    """The input widths and choices that can meet at a node while it is there."""
    seen = set()
    for inputs in product(*(states[name] for name in node.inputs)):
        known: dict[str, int] = {}
        if not all(
            known.setdefault(name, value) == value for _, why in inputs for name, value in why
        ):
            continue
        if node.requires is not None and known.get(node.requires) == 0:
            continue
        free = {
            name: [v for v in space.choices[name].values if v > 0 or name != node.requires]
            for name in node.choices()
            if name not in known and not (name == node.requires and _implied(node))
        }
        widths = tuple(width for width, _ in inputs)
        for chosen in product(*free.values()):
            values = {**known, **dict(zip(free, chosen, strict=True))}
            key = (widths, tuple(sorted(values.items())))
            if key not in seen:
                seen.add(key)
                yield widths, values


def _followed(cases: list[tuple[dict[str, int], int]]) -> list[_State]:
    """The widths of a tensor, each with the value of a choice where one choice decides them."""
    for name in cases[0][0] if cases else ():
        widths: dict[int, int] = {}
        if (
            all(name in v and widths.setdefault(v[name], w) == w for v, w in cases)
            and len(set(widths.values())) > 1
        ):
            return [(width, ((name, value),)) for value, width in widths.items()]
    return [(width, ()) for width in sorted({width for _, width in cases})]


# which of them to measure ----------------------------------------------------------------------

ALL = 24
"""Families with no more members than this are measured whole."""

OUTPUT_PERIOD = 32
"""Filters of a dense layer: twice the widest tile of XNNPACK's float kernels, half of its int8."""

CHANNEL_PERIOD = 16
"""Channels of what works channel by channel."""


def plan(family: Family, members: set[Widths]) -> tuple[set[Widths], tuple[int, ...]]:
    """The members to measure so that all are measured or lie between, and the axes' periods."""
    rank = len(next(iter(members)))
    if family.type in {"conv", "linear"} and family.groups == "dense":
        periods: tuple[int, ...] = (1, OUTPUT_PERIOD)
        growths: tuple[float, ...] = (1.6, 1.7)
    elif rank == 1:
        periods, growths = (CHANNEL_PERIOD,), (1.3,)
    else:
        periods, growths = (1,) * rank, (1.8,) * rank
    values = [sorted({widths[axis] for widths in members}) for axis in range(rank)]
    if len(members) <= ALL or _curve(members, values):
        return set(members), periods
    axes = [
        Axis(knots(values[axis], periods[axis], growths[axis]), periods[axis])
        for axis in range(rank)
    ]
    chosen: set[Widths] = set()
    for widths in members:
        cell = corners(axes, widths)
        assert cell is not None, (family, widths)
        chosen.update(point for point, _ in cell)
    return chosen, periods


def _curve(members: set[Widths], values: list[list[int]]) -> bool:
    """True where the widths follow from one another, as in squeeze-and-excite."""
    return len(values) > 1 and len(members) <= max(map(len, values))


def knots(values: list[int], period: int, growth: float) -> list[int]:
    """Some of the ascending ``values``: in every class modulo ``period`` the first, the last,
    and those between in steps that grow by ``growth``."""
    classes: dict[int, list[int]] = {}
    for value in values:
        classes.setdefault(value % period, []).append(value)
    chosen: set[int] = set()
    for members in classes.values():
        chosen.update((members[0], members[-1]))
        target = float(members[0])
        while True:
            target = max(target * growth, target + 1)
            later = [value for value in members if value >= target]
            if not later:
                break
            target = float(later[0])
            chosen.add(later[0])
    return sorted(chosen)
