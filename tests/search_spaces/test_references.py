"""Reference networks have the MACs and parameters that their authors published."""

from __future__ import annotations

import pytest

from search_spaces import SearchSpace, names, space

# width, resolution, million MACs, million parameters where given; from the papers and, for
# resolutions, from the authors' lists of checkpoints
PUBLISHED = {
    "mobilenet_v1": [
        (1.0, 224, 569, 4.24),
        (0.75, 224, 325, 2.59),
        (0.5, 224, 149, 1.34),
        (0.25, 224, 41, 0.47),
        (1.0, 192, 418, None),
        (1.0, 160, 290, None),
        (1.0, 128, 186, None),
        (0.25, 128, 13.6, None),  # NetAdapt, ECCV 2018, table 1
    ],
    "mobilenet_v2": [
        (1.0, 224, 300, 3.5),
        (1.4, 224, 582, 6.11),
        (0.75, 224, 209, 2.64),
        (0.5, 224, 97, 1.97),
        (0.35, 224, 59, 1.68),
        (1.0, 192, 221, None),
        (1.0, 128, 99, None),
        (0.5, 160, 50, None),
    ],
    "mobilenet_v3_large": [
        (1.0, 224, 217, 5.48),
        (0.75, 224, 155, 3.99),
        (1.25, 224, 356, None),
        (0.5, 224, 69, None),
    ],
    "mobilenet_v3_small": [
        (1.0, 224, 56.5, 2.54),
        (0.75, 224, 43.4, 2.04),
        (0.5, 224, 21, None),
        (1.25, 224, 91, None),
    ],
}
ROWS = [(name, *row) for name, rows in PUBLISHED.items() for row in rows]


@pytest.mark.parametrize(("name", "multiplier", "resolution", "macs", "params"), ROWS)
def test_published_macs_and_parameters(
    name: str, multiplier: float, resolution: int, macs: float, params: float | None
) -> None:
    found = space(name, multiplier=multiplier, resolution=resolution)
    network = found.describe(found.largest())
    assert network.macs == pytest.approx(macs * 1e6, rel=0.01)
    assert params is None or network.params == pytest.approx(params * 1e6, rel=0.01)


def test_fastdepth_before_pruning() -> None:
    found = space("fastdepth")
    network = found.describe(found.largest())
    assert network.macs == pytest.approx(0.74e9, rel=0.02)
    assert network.params == pytest.approx(3.9e6, rel=0.02)
    assert network.output_shapes == ((1, 224, 224),)


def test_the_search_space_of_netadaptv2() -> None:
    found = space("mobilenet_v3")
    widths = [c for c in found.choices.values() if c.kind == "width"]
    assert {v % 8 for c in found.choices.values() if c.kind != "kernel" for v in c.values} == {0}
    # everything but stem, head, hidden layer and the units of stride 2 may be removed
    staying = {c.name for c in widths if 0 not in c.values}
    strided = {u.width for u in found.units if u.stride == 2}
    assert staying == strided | {"head.width", "features.width"}
    expansions = {c.name: c.largest for c in found.choices.values() if c.kind == "expansion"}
    assert sorted(set(expansions.values())) == [192, 288, 624, 864, 1248]
    assert {c.values for c in found.choices.values() if c.kind == "kernel"} == {(3, 5, 7)}
    assert [len([u for u in found.units if u.name.startswith(f"stage{s}")]) for s in range(1, 7)] \
        == [1, 3, 4, 5, 4, 4]  # fmt: skip


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("bypass", [False, True])
@pytest.mark.parametrize("lowering", ["concat", "pad"])
def test_every_space_is_consistent(name: str, bypass: bool, lowering: str) -> None:
    found = space(name, resolution=64, bypass=bypass, lowering=lowering)
    for architecture in (found.largest(), found.smallest(), found.scaled(0.5)):
        check_shapes(found, dict(architecture))
    removable = [c.name for c in found.choices.values() if c.kind == "width" and 0 in c.values]
    assert bool(removable) == bypass
    check_shapes(found, {**found.largest(), **dict.fromkeys(removable, 0)})


def check_shapes(found: SearchSpace, values: dict[str, int]) -> None:
    """Every operation reads shapes that an earlier one made, and the arithmetic adds up."""
    network = found.describe(found.architecture(values))
    made = {"input": network.input_shape}
    for operation in network.operations:
        assert tuple(made[name] for name in operation.inputs) == operation.input_shapes
        assert operation.name not in made
        made[operation.name] = operation.output_shape
        channels = [shape[0] for shape in operation.input_shapes]
        maps = {shape[1:] for shape in operation.input_shapes}
        out = operation.output_shape
        if operation.type == "concat":
            assert (sum(channels), *maps) == (out[0], out[1:])
        elif operation.type == "add":
            assert {*operation.input_shapes} == {out}
        elif operation.type == "slice":
            assert operation.start + out[0] <= channels[0] and maps == {out[1:]}
        elif operation.type == "conv":
            top, bottom, left, right = operation.padding
            (height, width) = operation.input_shapes[0][1:]
            assert min(operation.padding) >= 0
            assert channels[0] % operation.groups == out[0] % operation.groups == 0
            assert (
                out[1] == (height + top + bottom - operation.kernel[0]) // operation.stride[0] + 1
            )
            assert out[2] == (width + left + right - operation.kernel[1]) // operation.stride[1] + 1
    assert network.outputs[0] in made
    read = {name for operation in network.operations for name in operation.inputs}
    assert read | set(network.outputs) == set(made)


@pytest.mark.parametrize("name", names())
def test_a_space_at_another_resolution_is_the_one_built_there(name: str) -> None:
    built = space(name, resolution=96)
    moved = space(name).at(96)
    assert moved == built and moved.fingerprint == built.fingerprint
    half = built.scaled(0.5)
    assert moved.describe(moved.architecture(half.choices)) == built.describe(half)
