"""Channel groups: which widths of a graph change together, found by union-find.

A tensor is a row of segments, each a multiple of one group's width: a concatenation has several,
a flattened map counts its positions. Additions and gates tie segment by segment; depthwise and
grouped convolutions tie their output to their input; the input and the outputs are fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from search_spaces.choices import Choice, Unit, Width, widths
from search_spaces.cuts import ChannelShuffle, Slice
from search_spaces.joins import Add, Concat
from search_spaces.nodes import Conv, Flatten, Linear, Multiply, Node
from search_spaces.operation import Shape
from search_spaces.space import INPUT

STEP = 8
"""Widths are multiples of it; kernels of mobile runtimes work on blocks of 4 or 8 channels."""


class Segment(NamedTuple):
    """Channels of a tensor: ``multiple`` times the width of a group."""

    group: int
    multiple: int


class Group:
    """Widths that change together; ``step`` is what they must stay a multiple of."""

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self.width = width
        self.step = 1
        self.fixed = False


class Groups:
    """The union-find over the widths of a graph."""

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[str], shapes: dict[str, Shape]):
        self._groups: list[Group] = []
        self._parents: list[int] = []
        self.segments: dict[str, tuple[Segment, ...]] = {}
        self._shapes = shapes
        self.segments[INPUT] = self._new(INPUT, shapes[INPUT][0])
        self._fix(self.segments[INPUT])
        for node in nodes:
            self.segments[node.name] = self._visit(node)
        for name in outputs:
            self._fix(self.segments[name])

    def of(self, segment: Segment) -> Group:
        """The group of a segment."""
        return self._groups[self._find(segment.group)]

    def width(self, tensor: str) -> tuple[Group, int] | None:
        """Group and multiple of a tensor that is one free segment, else None."""
        segments = self.segments[tensor]
        if len(segments) > 1 or self.of(segments[0]).fixed:
            return None
        return self.of(segments[0]), segments[0].multiple

    def _find(self, index: int) -> int:
        while self._parents[index] != index:
            self._parents[index] = self._parents[self._parents[index]]
            index = self._parents[index]
        return index

    def _new(self, name: str, width: int) -> tuple[Segment, ...]:
        self._groups.append(Group(name, width))
        self._parents.append(len(self._parents))
        return (Segment(len(self._parents) - 1, 1),)

    def _fix(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self.of(segment).fixed = True

    def _tie(self, a: tuple[Segment, ...], b: tuple[Segment, ...]) -> None:
        """Equal widths from here on; where the segments do not match one by one, no change."""

        def form(segments: tuple[Segment, ...]) -> list[tuple[int, int]]:
            return [(self.of(s).width, s.multiple) for s in segments]

        if form(a) != form(b):
            self._fix((*a, *b))
            return
        for x, y in zip(a, b, strict=True):
            first, second = sorted((self._find(x.group), self._find(y.group)))
            if first != second:
                one, other = self._groups[first], self._groups[second]
                one.step = math.lcm(one.step, other.step)
                one.fixed = one.fixed or other.fixed
                self._parents[second] = first

    def _visit(self, node: Node) -> tuple[Segment, ...]:
        inputs = [self.segments[name] for name in node.inputs]
        if isinstance(node, Conv) and node.group_width > 1:
            return self._grouped(node, inputs[0])
        if isinstance(node, Linear) or (isinstance(node, Conv) and node.group_width == 0):
            return self._new(node.name, node.filters.maximum)
        if isinstance(node, Add | Multiply):
            for other in inputs[1:]:
                self._tie(inputs[0], other)
            return inputs[0]
        if isinstance(node, Slice):
            return self._sliced(node, inputs[0])
        if isinstance(node, ChannelShuffle):
            self._fix(inputs[0])
            return self._fixed(node.name, self._shapes[node.name][0])
        if isinstance(node, Concat):
            return tuple(segment for segments in inputs for segment in segments)
        if isinstance(node, Flatten):
            _, height, width = self._shapes[node.inputs[0]]
            return tuple(s._replace(multiple=s.multiple * height * width) for s in inputs[0])
        return inputs[0]

    def _fixed(self, name: str, width: int) -> tuple[Segment, ...]:
        made = self._new(name, width)
        self._fix(made)
        return made

    def _sliced(self, node: Slice, x: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Whole segments as they are; a cut within one fixes the widths that it goes through."""
        taken, offset = [], 0
        for segment in x:
            end = offset + self.of(segment).width * segment.multiple
            if node.start <= offset and end <= node.stop:
                taken.append(segment)
            elif offset < node.stop and node.start < end:
                self._fix((segment,))
                part = min(end, node.stop) - max(offset, node.start)
                taken += self._fixed(node.name, part)
            offset = end
        return tuple(taken)

    def _grouped(self, node: Conv, x: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Groups of unchanged width come and go, so the filters are a multiple of the input."""
        channels = self._shapes[node.inputs[0]][0]
        if len(x) > 1 or node.filters.maximum % channels:
            self._fix(x)
            out = self._new(node.name, node.filters.maximum)
            self._fix(out)
            return out
        ratio = node.filters.maximum // channels
        group = self.of(x[0])
        step = node.group_width // math.gcd(node.group_width, x[0].multiple)
        group.step = math.lcm(group.step, step)
        return (Segment(x[0].group, x[0].multiple * ratio),)


def searched(
    nodes: Sequence[Node], outputs: Sequence[str], shapes: dict[str, Shape]
) -> tuple[list[Node], dict[str, Choice], list[Unit]]:
    """The nodes with their widths as functions of choices, the choices, and the units.

    One choice for every free group: multiples of 8 (and of the group width of grouped
    convolutions) up to the largest, the largest always included.
    """
    groups = Groups(nodes, outputs, shapes)
    choices: dict[str, Choice] = {}
    out: list[Node] = []
    units: list[Unit] = []
    added = {name for node in nodes if isinstance(node, Add) for name in node.inputs}
    for node in nodes:
        if not isinstance(node, Conv | Linear):
            out.append(node)
            continue
        width = Width(node.filters.maximum)
        free = groups.width(node.name)
        if free is not None:
            group, multiple = free
            values = widths(group.width, step=math.lcm(STEP, group.step))
            if len(values) > 1:
                choice = f"{group.name}.width"
                choices.setdefault(choice, Choice(choice, "width", values))
                width = Width(node.filters.maximum, choice, multiple=multiple)
        out.append(replace(node, filters=width))
        if width.choice is not None and not (isinstance(node, Conv) and node.group_width == 1):
            units.append(
                Unit(
                    name=node.name,
                    width=width.choice,
                    filters=width.maximum,
                    stride=node.stride[0] if isinstance(node, Conv) else 1,
                    residual=node.name in added,
                    bypass=False,
                )
            )
    return out, choices, units
