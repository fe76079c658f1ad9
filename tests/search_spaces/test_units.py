"""Channel-level bypass: descriptions worked out by hand (CBC)."""

from __future__ import annotations

import pytest

from search_spaces import UserError, space
from search_spaces.choices import Width
from search_spaces.joins import Add, Bypass, Concat
from search_spaces.nodes import Flatten, Linear
from tests.search_spaces.toys import branches, conv, toy, unit, width

# largest C, T, stride, residual, size → (C, M) → type and output shape of what follows x
CASES = [
    # C = T, residual
    (4, 4, 1, True, 6, (4, 4), [("conv", 4, 6), ("add", 4, 6)]),
    (4, 4, 1, True, 6, (4, 0), []),
    (4, 4, 1, True, 6, (4, 2), [("conv", 2, 6), ("slice", 2, 6), ("slice", 2, 6), ("add", 2, 6),
                                ("concat", 4, 6)]),
    # M > C inside a residual unit: the last filter passes alone
    (4, 4, 1, True, 6, (2, 3), [("conv", 3, 6), ("slice", 2, 6), ("slice", 1, 6), ("add", 2, 6),
                                ("concat", 3, 6)]),
    # C = T, not residual: at M = 0 the unit is gone
    (4, 4, 1, False, 6, (4, 0), []),
    (4, 4, 1, False, 6, (4, 3), [("conv", 3, 6), ("slice", 1, 6), ("concat", 4, 6)]),
    # C < T: bypassing begins once M < C
    (4, 6, 1, False, 6, (4, 6), [("conv", 6, 6)]),
    (4, 6, 1, False, 6, (4, 4), [("conv", 4, 6)]),
    (4, 6, 1, False, 6, (4, 3), [("conv", 3, 6), ("slice", 1, 6), ("concat", 4, 6)]),
    (4, 6, 1, False, 6, (4, 0), []),
    # M between min(C, T) and T
    (4, 6, 1, False, 6, (3, 5), [("conv", 5, 6)]),
    # C > T: the last C − T inputs are never bypassed
    (6, 4, 1, False, 6, (6, 4), [("conv", 4, 6)]),
    (6, 4, 1, False, 6, (6, 1), [("conv", 1, 6), ("slice", 3, 6), ("concat", 4, 6)]),
    (6, 4, 1, False, 6, (6, 0), [("slice", 4, 6)]),
    # stride 2 at an odd size
    (4, 6, 2, False, 7, (4, 2), [("conv", 2, 4), ("slice", 2, 7), ("avg_pool", 2, 4),
                                 ("concat", 4, 4)]),
    (4, 6, 2, False, 7, (4, 0), [("avg_pool", 4, 4)]),
    (4, 6, 2, False, 7, (4, 5), [("conv", 5, 4)]),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "filters", "stride", "residual", "size", "cm", "wanted"), CASES)
def test_description_by_hand(
    inputs: int,
    filters: int,
    stride: int,
    residual: bool,
    size: int,
    cm: tuple[int, int],
    wanted: list[tuple[str, int, int]],
) -> None:
    space = unit(
        inputs=inputs,
        filters=filters,
        stride=stride,
        residual=residual,
        resolution=size,
        lowering="concat",
    )
    channels, kept = cm
    network = space.describe(space.architecture({"c": channels, "m": kept}))
    first, *rest = network.operations
    assert (first.type, first.output_shape) == ("conv", (channels, size, size))
    assert [(o.type, o.output_shape) for o in rest] == [(t, (n, s, s)) for t, n, s in wanted]
    # 1x1 over the image, 3x3 over x; normalisations have two parameters a filter
    after = -(-size // stride)
    macs = size * size * 3 * channels + after * after * channels * kept * 9
    assert network.macs == macs
    assert network.params == 3 * channels + 2 * channels + (9 * channels + 2) * kept
    assert network.output_shapes[0][0] == max(min(channels, filters), kept)


@pytest.mark.parametrize("lowering", ["concat", "pad"])
@pytest.mark.parametrize("stride", [1, 2])
def test_output_width_of_every_combination(lowering: str, stride: int) -> None:
    for inputs, filters in ((5, 5), (3, 5), (5, 3)):
        residual = inputs == filters and stride == 1
        space = unit(
            inputs=inputs,
            filters=filters,
            stride=stride,
            residual=residual,
            resolution=5,
            lowering=lowering,
        )
        for c in range(1, inputs + 1):
            for m in range(filters + 1):
                shape = space.describe({"c": c, "m": m}).output_shapes[0]
                assert shape[0] == max(min(c, filters), m), (c, filters, m)


def test_padded_lowering_by_hand() -> None:
    space = unit(inputs=4, filters=4, stride=1, residual=True, resolution=6, lowering="pad")
    operations = space.describe({"c": 4, "m": 2}).operations[1:]
    assert [(o.type, o.output_shape[0]) for o in operations] == [
        ("conv", 2),
        ("pad_channels", 4),
        ("add", 4),
    ]


def test_a_concatenation_remembers_where_its_channels_stood() -> None:
    space = branches()
    narrow = space.describe({"a.width": 4, "b.width": 8})
    assert narrow.kept_channels("cat", 12) == ((0, 4), (8, 16))
    alone = space.describe({"a.width": 0, "b.width": 4})
    assert alone.kept_channels("cat", 4) == ((8, 12),)
    # the branch itself is read by another layer, from its own first channel on
    assert alone.kept_channels("b", 4) == ((0, 4),)
    whole = space.describe(space.largest())
    assert dict(whole.kept) == {}


def test_channels_that_do_not_match_are_refused() -> None:
    pair = [conv("a", "input", 8, "a.width"), conv("b", "input", 8, "b.width")]
    choices = [width("a.width", 4, 8), width("b.width", 4, 8), width("m", 4, 16)]
    cat = Concat(name="cat", inputs=("a", "b"), maxima=(8, 8))
    values = {"a.width": 4, "b.width": 8, "m": 16}

    added = [*pair, cat, conv("d", "input", 16), Add(name="sum", inputs=("cat", "d"))]
    with pytest.raises(UserError, match="sum: cat and d hold other channels; tie their widths"):
        toy(added, choices, "sum").describe(values)

    bypass = Bypass(name="y", inputs=("f", "cat"), filters=16, stride=1, residual=True)
    with pytest.raises(UserError, match="y: a bypass around a concatenation"):
        toy([*pair, cat, conv("f", "cat", 16, "m"), bypass], choices, "y").describe(values)

    split = [*pair, cat, conv("g", "cat", 16, group_width=4)]
    with pytest.raises(UserError, match="g: its input drops channels"):
        toy(split, choices, "g").describe(values)
    untied = [pair[0], conv("g", "a", 6, group_width=4)]
    with pytest.raises(UserError, match="not a multiple of its 2 groups") as refused:
        toy([pair[0], conv("g", "a", 7, group_width=4)], choices, "g").describe(
            {**values, "a.width": 8}
        )
    assert "g: 7 filters" in str(refused.value)
    toy(untied, choices, "g").describe({**values, "a.width": 8})


def test_flatten_keeps_whole_maps() -> None:
    nodes = [
        conv("a", "input", 4, "a.width"),
        conv("b", "input", 4),
        Concat(name="cat", inputs=("a", "b"), maxima=(4, 4)),
        Flatten(name="flat", inputs=("cat",)),
        Linear(name="out", inputs=("flat",), filters=Width(2)),
    ]
    space = toy(nodes, [width("a.width", 2, 4)], "out", resolution=3)
    network = space.describe({"a.width": 2})
    assert network.kept_channels("flat", 54) == ((0, 18), (36, 72))


@pytest.mark.parametrize("resolution", [0, -1, 2**16 + 1, 10**18])
def test_a_resolution_that_no_image_has_is_refused(resolution):
    with pytest.raises(UserError, match="resolution = "):
        space("mobilenet_v3_tiny", resolution=resolution)
