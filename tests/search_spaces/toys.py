"""Small hand-made spaces: structures that the registered spaces lack."""

from __future__ import annotations

from collections.abc import Sequence

from search_spaces import Architecture, Choice, SearchSpace
from search_spaces.choices import Width
from search_spaces.joins import Add, Bypass, Concat
from search_spaces.nodes import Conv, Elementwise, Flatten, Linear, Node, Pool


def width(name: str, *values: int) -> Choice:
    return Choice(name, "width", values)


def conv(
    name: str, x: str, filters: int, choice: str | None = None, *, kernel: int = 1, **more: object
) -> Conv:
    return Conv(
        name=name,
        inputs=(x,),
        filters=Width(filters, choice),
        kernel=(kernel, kernel),
        padding=(kernel // 2,) * 4,
        **more,  # type: ignore[arg-type]
    )


def toy(
    nodes: Sequence[Node],
    choices: Sequence[Choice],
    *outputs: str,
    resolution: int = 6,
    channels: int = 3,
) -> SearchSpace:
    return SearchSpace(
        name="toy",
        settings={},
        nodes=tuple(nodes),
        choices={choice.name: choice for choice in choices},
        units=(),
        outputs=outputs,
        input_channels=channels,
        resolution=resolution,
        classes=1,
        embedded=True,
    )


def unit(
    *, inputs: int, filters: int, stride: int, residual: bool, resolution: int, lowering: str
) -> SearchSpace:
    """A 1x1 convolution of ``inputs`` channels, then one unit around a 3x3 convolution.

    ``c`` and ``m`` are the widths of the two, from 1 (``m`` from 0) up.
    """
    nodes = [
        conv("x", "input", inputs, "c"),
        conv("f", "x", filters, "m", kernel=3, stride=(stride, stride), requires="m"),
        Bypass(name="y", inputs=("f", "x"), filters=filters, stride=stride, residual=residual),
    ]
    choices = [width("c", *range(1, inputs + 1)), width("m", *range(filters + 1))]
    space = toy(nodes, choices, "y", resolution=resolution)
    object.__setattr__(space, "lowering", lowering)
    return space


def every(space: SearchSpace) -> list[Architecture]:
    """All architectures of a small space."""
    from itertools import product

    names = list(space.choices)
    rows = product(*(space.choices[name].values for name in names))
    return list(dict.fromkeys(space.architecture(dict(zip(names, r, strict=True))) for r in rows))


def branches() -> SearchSpace:
    """Two branches concatenated, the first removable, the second read again elsewhere."""
    nodes = [
        conv("a", "input", 8, "a.width", activation="relu", requires="a.width"),
        conv("b", "input", 8, "b.width", activation="hard_swish"),
        Concat(name="cat", inputs=("a", "b"), maxima=(8, 8)),
        conv("c", "cat", 4, kernel=3),
        conv("d", "b", 4),
        Add(name="sum", inputs=("c", "d"), activation="sigmoid"),
        Flatten(name="flat", inputs=("sum",)),
        Linear(name="out", inputs=("flat",), filters=Width(3)),
    ]
    return toy(nodes, [width("a.width", 0, 4, 8), width("b.width", 4, 8)], "out")


def flattened() -> SearchSpace:
    """A concatenation of searched widths, normalised, flattened into a linear layer."""
    nodes = [
        conv("a", "input", 8, "a.width"),
        conv("b", "input", 6, "b.width", activation="relu"),
        Concat(name="cat", inputs=("a", "b"), maxima=(8, 6)),
        Elementwise(name="norm", inputs=("cat",), norm=True, activation="hard_sigmoid"),
        Pool(name="pool", inputs=("norm",), type="max_pool", kernel=(2, 2), stride=(2, 2)),
        Flatten(name="flat", inputs=("pool",)),
        Linear(name="out", inputs=("flat",), filters=Width(3)),
    ]
    return toy(nodes, [width("a.width", 4, 8), width("b.width", 2, 6)], "out")


def grouped() -> SearchSpace:
    """A grouped convolution whose whole groups come and go; two outputs, one of searched width."""
    nodes = [
        conv("a", "input", 8, "a.width", activation="relu"),
        conv("g", "a", 8, "a.width", kernel=3, group_width=4, activation="sigmoid"),
        conv("map", "g", 6, "map.width"),
        conv("out", "map", 2),
    ]
    return toy(nodes, [width("a.width", 4, 8), width("map.width", 2, 6)], "out", "map")


def unequal() -> SearchSpace:
    """An addition of two searched widths under an activation that is not zero at zero."""
    nodes = [
        conv("a", "input", 8, "a.width"),
        conv("b", "input", 6, "b.width", norm=False, bias=True),
        Add(name="sum", inputs=("a", "b"), activation="hard_sigmoid"),
        conv("out", "sum", 2, kernel=3),
    ]
    return toy(nodes, [width("a.width", 2, 4, 8), width("b.width", 1, 6)], "out")


def pooled() -> SearchSpace:
    """A removable unit that is a pooling alone: nothing but its mask removes it."""
    nodes = [
        conv("a", "input", 8, "a.width", activation="relu"),
        Pool(
            name="pool",
            inputs=("a",),
            requires="kept",
            type="avg_pool",
            kernel=(3, 3),
            stride=(1, 1),
            padding=(1, 1, 1, 1),
        ),
        Bypass(name="unit", inputs=("pool", "a"), filters=8, stride=1, residual=True),
        conv("out", "unit", 2),
    ]
    return toy(nodes, [width("a.width", 4, 8), width("kept", 0, 8)], "out")


TOYS = {f.__name__: f for f in (branches, flattened, grouped, unequal, pooled)}
