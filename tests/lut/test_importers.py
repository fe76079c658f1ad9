"""Tables of other projects: read with their own meaning, refused where they are something else."""

import os
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest

from lut.cost import UncoveredError
from lut.fit import read_measurements
from lut.importers import BlockTable, import_table, imported_device
from lut.table import Table
from search_spaces import Operation, UserError

DEVICE = imported_device("old-phone", "a phone of somebody")


def layer(kind="Conv2d", latency=None, **changes):
    properties = {
        "is_depthwise": False,
        "num_in_channels": 16,
        "num_out_channels": 32,
        "kernel_size": (3, 3),
        "stride": (2, 2),
        "padding": (1, 1),
        "groups": 1,
        "layer_type_str": kind,
        "input_feature_map_size": [1, 16, 32, 32],
        "latency": latency or {(16, 32): 0.002, (8, 32): 0.001},
    }
    return properties | changes


def stored(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "lut.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


# NetAdapt ----------------------------------------------------------------------------------------


def test_the_official_pickle_becomes_a_table_of_operations(tmp_path):
    layers = OrderedDict(
        {
            "features.0": layer(),
            "features.1": layer(
                is_depthwise=True,
                groups=32,
                stride=(1, 1),
                input_feature_map_size=[1, 32, 16, 16],
                latency={(32, 32): 0.0005, (16, 16): 0.0003},
            ),
            "fc": layer("Linear", latency={(32, 10): 1e-5}, input_feature_map_size=[1, 32, 1, 1]),
        }
    )
    table = import_table("netadapt", stored(tmp_path, layers), DEVICE)
    assert table.device.provenance == "imported" and len(table) == 5
    stem = Operation(
        "any",
        "conv",
        ("x",),
        ((16, 32, 32),),
        (32, 16, 16),
        kernel=(3, 3),
        stride=(2, 2),
        padding=(1, 1, 1, 1),
        activation="relu",
        norm=True,
    )
    assert table.cost(stem) == pytest.approx(2.0)  # seconds became milliseconds
    add = Operation("any", "add", ("x", "y"), ((16, 8, 8), (16, 8, 8)), (16, 8, 8))
    table.save(tmp_path / "table.json")
    for known in (table, Table.load(tmp_path / "table.json")):
        assert known.cost(add) == 0  # the official code counts layers with weights only
        with pytest.raises(UncoveredError):
            known.cost(replace(stem, output_shape=(48, 16, 16)))
    depthwise = Operation(
        "any",
        "conv",
        ("x",),
        ((16, 16, 16),),
        (16, 16, 16),
        kernel=(3, 3),
        padding=(1, 1, 1, 1),
        groups=16,
    )
    assert table.cost(depthwise) == pytest.approx(0.3)
    linear = Operation("any", "linear", ("x",), ((32, 1, 1),), (10, 1, 1), bias=True)
    assert table.cost(linear) == pytest.approx(0.01)


def test_layers_of_equal_shape_are_averaged(tmp_path):
    layers = OrderedDict(a=layer(latency={(16, 32): 0.002}), b=layer(latency={(16, 32): 0.004}))
    table = import_table("netadapt", stored(tmp_path, layers), DEVICE)
    (points,) = table.families.values()
    assert [(c.value, c.spread) for c in points.values()] == [(pytest.approx(3), pytest.approx(1))]


class Malicious:
    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_something_is_refused_and_runs_nothing(tmp_path):
    bomb = Malicious()
    bomb.path = tmp_path / "made-by-the-pickle"
    for content in (bomb, OrderedDict(a=bomb), OrderedDict(a=layer(latency={(1, 1): bomb}))):
        with pytest.raises(UserError, match=r"refused: it asks for \w+\.mkdir"):
            import_table("netadapt", stored(tmp_path, content), DEVICE)
    assert not bomb.path.exists()
    # builtins and attributes of an allowed class are no way around it
    for data in (
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
    ):
        path = tmp_path / "lut.pkl"
        path.write_bytes(data)
        with pytest.raises(UserError, match="refused"):
            import_table("netadapt", path, DEVICE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        (OrderedDict(), "no latency"),
        (OrderedDict(a={"latency": 3}), "layer 'a' has no 'latency'"),
        (OrderedDict(a=layer("ConvTranspose2d")), "ConvTranspose2d"),
        (OrderedDict(a=layer(latency={(16, 32): -0.001})), "not negative"),
        (OrderedDict(a=layer(latency={(16, 32): float("inf")})), "finite"),
        (OrderedDict(a=layer(latency={(16, 32): "fast"})), "not a latency"),
        (OrderedDict(a=layer(latency={(0, 32): 0.1})), "malformed"),
        (OrderedDict(a=layer(kernel_size=(99, 99))), "larger than the padded map"),
    ],
)
def test_what_is_no_table_of_the_official_code_is_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        import_table("netadapt", stored(tmp_path, content), DEVICE)


def test_a_truncated_pickle_and_a_missing_file_are_refused(tmp_path):
    path = stored(tmp_path, OrderedDict(a=layer()))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="not a whole NetAdapt table"):
        import_table("netadapt", path, DEVICE)
    with pytest.raises(UserError, match="cannot read"):
        import_table("netadapt", tmp_path / "none.pkl", DEVICE)


# tables of blocks --------------------------------------------------------------------------------

PROXYLESS = """
Conv-input:224x224x3-output:112x112x32: {count: 20, mean: 5.5, var: 0.1}
expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0:
  {count: 20, mean: 4.25, var: 0.1}
expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:7-stride:1-idskip:1:
  {count: 20, mean: 6.0, var: 0.2}
Conv_1-input:7x7x320-output:7x7x1280: {count: 20, mean: 2.0, var: 0.0}
Logits-input:7x7x1280-output:1000: {count: 20, mean: 1.0, var: 0.0}
"""

MOBILENET_V3 = """
expanded_conv-input:28x28x40-output:28x28x40-expand:120-kernel:5-stride:1-idskip:1-se:1-hs:0:
  {count: 10, mean: 1.5, var: 0.0}
Conv_1-input:7x7x160-output:7x7x960: {count: 10, mean: 0.5, var: 0.0}
AvgPool2D-input:7x7x960-output:1x1x960: {count: 10, mean: 0.1, var: 0.0}
Conv_2-input:1x1x960-output:1x1x1280: {count: 10, mean: 0.3, var: 0.0}
Logits-input:1x1x1280-output:1000: {count: 10, mean: 0.4, var: 0.0}
"""


def test_a_proxylessnas_table_is_read_with_its_operations(tmp_path):
    path = tmp_path / "mobile_trim.yaml"
    path.write_text(PROXYLESS)
    blocks = {
        b.name.partition("-")[0]: b for b in import_table("once-for-all", path, DEVICE).blocks
    }
    skip = blocks["expanded_conv"].operations
    assert [o.type for o in skip] == ["conv", "conv", "conv", "add"]
    assert skip[0].output_shape == (144, 56, 56) and skip[1].kernel == (7, 7)
    assert skip[0].activation == "relu6"
    assert blocks["Conv"].latency == 5.5
    assert blocks["Conv"].operations[0].stride == (2, 2)
    assert [o.type for o in blocks["Logits"].operations] == ["global_avg_pool", "linear"]


def test_a_once_for_all_table_of_mobilenet_v3_has_absolute_widths(tmp_path):
    path = tmp_path / "v3.yml"
    path.write_text(MOBILENET_V3)
    table = import_table("once-for-all", path, DEVICE)
    block, mixing, pool, hidden, logits = table.blocks
    assert [o.type for o in block.operations] == [
        *["conv"] * 2,
        "global_avg_pool",
        *["conv"] * 2,
        "multiply",
        "conv",
        "add",
    ]
    assert block.operations[0].output_shape[0] == 120
    assert block.operations[0].activation == "relu"
    assert mixing.operations[0].activation == "hard_swish"
    assert pool.operations[0].type == "global_avg_pool" and len(logits.operations) == 1
    assert hidden.latency == 0.3


def test_a_stored_table_of_blocks_reads_back(tmp_path):
    source = tmp_path / "blocks.json"
    source.write_text('{"conv_28_16_24_4_2_hard_swish_5_se": 0.75, "firstconv_224_3_16_2_3": 1.27}')
    table = import_table("nn-meter", source, DEVICE)
    table.save(tmp_path / "stored.json")
    again = BlockTable.load(tmp_path / "stored.json")
    assert again == table
    assert read_measurements(tmp_path / "stored.json") == table.blocks
    with pytest.raises(UserError, match="not a stored table"):
        BlockTable.load(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Conv-input:224x224x3-output:112x112x32: {count: 1, mean: -5.5}", "above 0"),
        ("Conv-input:224x224x3-output:112x112x32: {count: 1, mean: .nan}", "above 0"),
        ("Conv-input:224x224x3-output:112x112x32: {count: 1}", "needs 'mean'"),
        ("Conv-input:224x224x3-output:99x99x32: {count: 1, mean: 1.0}", "output should be"),
        ("Conv-input:224x224x3: {count: 1, mean: 1.0}", "not a key"),
        ("- 1\n- 2\n", "not a table of blocks"),
        ("a: [1, 2", "malformed"),
        ("a: !!python/object/apply:os.getcwd []", "malformed"),
    ],
)
def test_what_is_no_table_of_once_for_all_is_refused(tmp_path, text, message):
    path = tmp_path / "table.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        import_table("once-for-all", path, DEVICE)


def test_formats_are_not_taken_for_each_other(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text(PROXYLESS)
    with pytest.raises(UserError, match="not a table of format nn-meter"):
        import_table("nn-meter", path, DEVICE)
    with pytest.raises(UserError, match="did you mean 'nn-meter'"):
        import_table("nnmeter", path, DEVICE)
