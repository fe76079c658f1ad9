"""Tables: look-up, interpolation, storage, and what they refuse."""

import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lut import Table, UncoveredError
from lut.cache import open_cached
from lut.cost import DeviceInfo
from lut.probes import Surroundings
from lut.signature import operation_of, signature
from lut.table import merged
from search_spaces import Operation, UserError, names, space

DEVICE = DeviceInfo("bench", "a test bench", "one", 1, "none", "1", "float32", "measured")
AROUND = Surroundings(stream_bytes=0, copies=16)
ASSETS = Path(__file__).parents[1] / "assets"


def conv(c_in, c_out, size=14, **fields):
    return Operation(
        "layer",
        "conv",
        ("x",),
        ((c_in, size, size),),
        (c_out, size, size),
        **fields,
    )


def table_of(costs, **fields):
    table = Table(**{"device": DEVICE, "source": "a test", "date": "2026-01-01", **fields})
    for operation, value in costs:
        table.add(operation, value, value / 100)
    return table


def test_an_entry_is_found_again():
    table = table_of([(conv(8, 16), 0.25)])
    assert table.cost(conv(8, 16)) == 0.25


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_what_the_runtime_folds_costs_the_same(activation):
    table = table_of([(conv(8, 16), 0.25)])
    assert table.cost(conv(8, 16, activation=activation, norm=True, bias=True)) == 0.25


def test_nothing_else_is_taken_for_it():
    table = table_of([(conv(8, 16), 0.25)])
    others = [
        conv(8, 16, size=7),
        conv(8, 16, activation="hard_swish"),
        conv(8, 16, kernel=(3, 3), padding=(1, 1, 1, 1)),
        conv(8, 16, stride=(2, 2)),
        conv(8, 8, groups=8),
        conv(8, 24),
    ]
    for other in others:
        with pytest.raises(UncoveredError, match="bench table"):
            table.cost(other)


def test_between_widths_it_interpolates_in_both():
    table = table_of([(conv(a, b), 2 * a + 3 * b + a * b) for a in (8, 32) for b in (16, 64)])
    assert table.cost(conv(20, 40)) == pytest.approx(2 * 20 + 3 * 40 + 20 * 40)
    with pytest.raises(UncoveredError):
        table.cost(conv(40, 40))


def test_interpolation_keeps_to_one_class_of_widths():
    """A staircase: full tiles of 32 filters are cheaper than the steps before them."""
    cost = {
        width: -(-width // 32) * 4.0 + (3.0 if width % 32 else 0.0) for width in range(8, 264, 8)
    }
    measured = [8, 16, 24, 32, 64, 128, 136, 256, 232, 240, 248]
    table = table_of([(conv(8, width), cost[width]) for width in measured])
    table.set_periods(signature(conv(8, 8))[0], (1, 32))
    assert table.cost(conv(8, 96)) == cost[96]
    assert table.cost(conv(8, 104)) == cost[104]
    assert table.cost(conv(8, 104)) > table.cost(conv(8, 128))


@pytest.mark.parametrize("name", names())
def test_an_operation_of_a_signature_has_that_signature(name):
    searched = space(name)
    source = random.Random(0)
    for _ in range(3):
        for operation in searched.describe(searched.random(source)).operations:
            again = operation_of(*signature(operation))
            assert signature(again) == signature(operation)
            assert again.macs == operation.macs


def test_a_stored_table_is_the_same_table(tmp_path):
    table = table_of([(conv(8, 16), 0.25), (conv(16, 16, groups=16), 0.125)])
    table.set_periods(signature(conv(8, 16))[0], (1, 32))
    path = tmp_path / "deep" / "table.json"
    table.save(path)
    again = Table.load(path)
    assert again.to_dict() == table.to_dict()
    assert again.identity == table.identity
    assert list(path.parent.iterdir()) == [path]


def test_identity_is_of_the_content():
    table = table_of([(conv(8, 16), 0.25)])
    assert replace(table, date="2027-01-01").identity == table.identity
    assert table_of([(conv(8, 16), 0.26)]).identity != table.identity


def test_the_first_schema_still_loads():
    table = Table.load(ASSETS / "table-1.json")
    assert table.cost(conv(8, 16)) == 0.25
    assert table.cost(conv(8, 24)) == pytest.approx(0.35)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    table_of([(conv(8, 16), 0.25)]).save(tmp_path / "good.json")
    text = (tmp_path / "good.json").read_text()
    data = json.loads(text)
    guessed = {**data["device"], "provenance": "guessed"}
    broken = {
        "truncated.json": text[: len(text) // 2],
        "list.json": "[1, 2]",
        "foreign.json": json.dumps({"format_version": 3, "layers": []}),
        "future.json": json.dumps({**data, "schema": 99}),
        "device.json": json.dumps({**data, "device": {"name": "x"}}),
        "provenance.json": json.dumps({**data, "device": guessed}),
        "negative.json": text.replace("0.25,", "-0.25,"),
        "nan.json": text.replace("0.25,", "NaN,"),
        "entries.json": text.replace("[[8,16]", "[[8,16,4],1.0,0.0],[[8,16]"),
        "binary.json": None,
    }
    for name, content in broken.items():
        path = tmp_path / name
        if content is None:
            path.write_bytes(bytes(range(256)))
        else:
            path.write_text(content)
        with pytest.raises(UserError, match=name.split(".")[0]) as refused:
            Table.load(path)
        assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match="missing"):
        Table.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"runtime_version": "2"},
        {"precision": "int8"},
        {"provenance": "imported"},
        {"threads": 4},
    ],
)
def test_tables_of_different_origin_do_not_mix(change):
    one = table_of([(conv(8, 16), 0.25)])
    other = table_of([(conv(8, 32), 0.5)], device=replace(DEVICE, **change))
    with pytest.raises(UserError, match=f"cannot be mixed: {next(iter(change))}"):
        merged([one, other])
    assert len(merged([one, table_of([(conv(8, 32), 0.5)])])) == 2


def test_tables_of_different_units_or_conditions_do_not_mix():
    one = table_of([(conv(8, 16), 0.25)])
    for change in ({"unit": "mJ"}, {"resource": "energy"}, {"conditions": {"copies": 4}}):
        with pytest.raises(UserError, match="cannot be mixed"):
            merged([one, table_of([(conv(8, 32), 0.5)], **change)])


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_costs_are_refused(value):
    with pytest.raises(UserError, match="is not a latency"):
        table_of([(conv(8, 16), value)])


def test_an_int8_table_of_files_as_they_were_written_before_is_measured_anew(tmp_path):
    """Hard-swish is written otherwise in int8 since; float32 tables stay."""
    for precision, entries in (("float32", 1), ("int8", 0)):
        info = replace(DEVICE, precision=precision)
        conditions = {"method": 2, **asdict(AROUND), "behind": []}
        table = Table(info, "nas lut build", conditions=conditions)
        table.add(conv(8, 16), 0.5)
        path = tmp_path / f"{precision}.json"
        table.save(path)
        assert len(open_cached(path, info, AROUND, fresh=False)) == entries
