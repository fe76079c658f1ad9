"""Many architectures at once cost exactly what each costs alone."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Additive, Operation, SearchSpace, UserError, names, space
from search_spaces.joins import Concat
from tests.search_spaces.toys import TOYS, conv, every, toy, width

SPACES = {name: space(name, resolution=64) for name in names()}
SPACES["padded"] = space("mobilenet_v3", lowering="pad")
SPACES["without bypass"] = space("mobilenet_v3", bypass=False)


def price(operation: Operation) -> float:
    """A whole number that changes with anything a device might care about."""
    o = operation
    shapes = (o.type, o.input_shapes, o.output_shape, o.kernel, o.stride, o.padding, o.groups)
    key = repr((shapes, o.activation, o.norm, o.bias, o.start, o.mode))
    return float(zlib.crc32(key.encode()) % (1 << 20))


ADDITIVE = {name: Additive(of, price) for name, of in SPACES.items()}


def alone(of: SearchSpace, values: dict[str, int]) -> float:
    return sum(map(price, of.describe(values).operations))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(SPACES)), data=st.data())
def test_equal_to_one_at_a_time(name: str, data: st.DataObject) -> None:
    of = SPACES[name]
    # dead choices too have any value here, which must not matter
    rows = [
        {c.name: data.draw(st.sampled_from(c.values), label=c.name) for c in of.choices.values()}
        for _ in range(2)
    ]
    additive = ADDITIVE[name]
    batch = additive(additive.matrix(rows)).tolist()
    assert batch == [alone(of, values) for values in rows]


def test_large_batches_again_and_again() -> None:
    of = SPACES["mobilenet_v3_tiny"]
    source = random.Random(0)
    additive = Additive(of, price)
    for _ in range(3):
        some = [of.random(source) for _ in range(150)] + [of.largest(), of.smallest()]
        assert additive(additive.matrix(some)).tolist() == [alone(of, dict(a)) for a in some]
    assert additive(additive.matrix([])).tolist() == []


@pytest.mark.parametrize("name", TOYS)
def test_graphs_of_other_shapes(name: str) -> None:
    of = TOYS[name]()
    architectures = every(of)
    additive = Additive(of, price)
    costs = additive(additive.matrix(architectures)).tolist()
    assert costs == [alone(of, dict(a)) for a in architectures]


def test_a_node_of_very_many_combinations() -> None:
    # nine widths of up to 254: their product is beyond any table and any 64-bit code
    branch = [f"b{i}" for i in range(9)]
    nodes = [conv(name, "input", 254, f"{name}.width") for name in branch]
    joined = Concat(name="cat", inputs=tuple(branch), maxima=(254,) * 9)
    choices = [width(f"{name}.width", 8, 100, 254) for name in branch]
    of = toy([*nodes, joined, conv("out", "cat", 2)], choices, "out")
    source = random.Random(1)
    architectures = [of.random(source) for _ in range(60)]
    architectures += [of.architecture({**of.largest(), "b0.width": w}) for w in (8, 100, 254)]
    additive = Additive(of, price)
    for _ in range(2):
        costs = additive(additive.matrix(architectures)).tolist()
        assert costs == [alone(of, dict(a)) for a in architectures]


def test_a_refused_price_leaves_the_others_right() -> None:
    of = SPACES["mobilenet_v3_tiny"]
    refuse = True

    def fussy(operation: Operation) -> float:
        if refuse and operation.kernel == (3, 3) and operation.input_shapes[0][0] > 40:
            raise UserError(f"no entry for {operation.name}")
        return price(operation)

    additive = Additive(of, fussy)
    rows = additive.matrix([of.random(random.Random(i)) for i in range(20)])
    with pytest.raises(UserError, match="no entry"):
        additive(rows)
    refuse = False
    assert np.array_equal(additive(rows), Additive(of, price)(rows))


@pytest.mark.parametrize("value", [-8, 12, 10_000])
def test_values_that_no_choice_has_are_refused(value: int) -> None:
    of = SPACES["mobilenet_v3_tiny"]
    additive = ADDITIVE["mobilenet_v3_tiny"]
    with pytest.raises(ValueError, match=f"head.width = {value}"):
        additive(additive.matrix([{**of.largest(), "head.width": value}]))


def test_costs_beyond_whole_numbers_of_64_bits_are_added_up():
    searched = space("mobilenet_v2")
    price = Additive(searched, lambda operation: operation.macs * 10**15)
    largest = searched.largest()
    expected = 1e15 * searched.describe(largest).macs
    assert price(price.matrix([largest]))[0] == pytest.approx(expected)
