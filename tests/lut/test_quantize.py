"""Full-integer files agree with the float32 ones, and hold no floats."""

import numpy as np
import pytest

from lut.tflite import Scale, quantize, read_metadata, write_network
from lut.tflite.model import pack, unpack
from search_spaces import Network, UserError, space
from supernet import CompactNetwork

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

import torch

from lut.devices.host import open_interpreter
from nas.export.tflite import weights_of
from tests.lut.test_tflite import JOINS, OPERATIONS

NETWORKS = {
    **{k: Network("one", o.input_shapes[0], (o,), ("op",), {}) for k, o in OPERATIONS.items()},
    **JOINS,
}


def run(content, image):
    interpreter = open_interpreter(content)
    (entry,) = interpreter.get_input_details()
    out = interpreter.get_output_details()[0]
    if entry["dtype"] == np.int8:
        image = Scale(*entry["quantization"]).store(image)
    interpreter.set_tensor(entry["index"], image)
    interpreter.invoke()
    value = interpreter.get_tensor(out["index"])
    return Scale(*out["quantization"]).real(value) if out["dtype"] == np.int8 else value


def made(network, count=8):
    """The float file of a network and some inputs."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    channels, height, width = network.input_shape
    images = [
        generator.standard_normal((1, height, width, channels), dtype=np.float32)
        for _ in range(count)
    ]
    return write_network(network, weights_of(CompactNetwork(network).eval())), images


FLOAT_ONLY = [name for name, o in OPERATIONS.items() if o.type == "layer_norm"]
"""LiteRT has an int8 kernel for some parts of it alone."""


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in FLOAT_ONLY])
def test_an_int8_operation_gives_the_float_output(name):
    content, images = made(NETWORKS[name])
    expected = run(content, images[0])
    given = run(quantize(content, images), images[0])
    assert np.abs(given - expected).max() <= 0.08 * np.abs(expected).max()
    assert np.corrcoef(given.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("name", FLOAT_ONLY)
def test_an_operation_without_an_int8_kernel_is_refused(name):
    with pytest.raises(UserError, match="no int8 kernel"):
        quantize(*made(NETWORKS[name]))


def test_an_int8_network_gives_the_float_output_and_holds_no_floats():
    searched = space("mobilenet_v3_tiny", resolution=25)
    content, images = made(searched.describe(searched.scaled(0.5)))
    small = quantize(content, images)
    expected, given = run(content, images[0]), run(small, images[0])
    assert np.corrcoef(given.ravel(), expected.ravel())[0, 1] > 0.99
    assert len(small) < 0.6 * len(content)
    assert read_metadata(small) == read_metadata(content)
    model = unpack(small)
    graph = model.subgraphs[0]
    used = {i for o in graph.operators for i in (*o.inputs, *o.outputs)}
    assert {graph.tensors[i].type for i in used} == {2, 9}  # INT32 and INT8


def test_calibration_needs_images_of_the_right_shape():
    content, images = made(NETWORKS["conv"])
    with pytest.raises(UserError, match="there are none"):
        quantize(content, [])
    with pytest.raises(UserError, match="the network takes"):
        quantize(content, [images[0][:, :-1]])


def test_no_hard_swish_is_left_that_would_cut_the_graph():
    searched = space("mobilenet_v3_tiny", resolution=16)
    content = write_network(searched.describe(searched.largest()), None)
    parts = {}
    for name, file in {"float32": content, "int8": quantize(content, None)}.items():
        details = open_interpreter(file)._get_ops_details()
        parts[name] = sum(d["op_name"] == "DELEGATE" for d in details)
        assert any(d["op_name"] == "HARD_SWISH" for d in details) == (name == "float32")
    assert parts == {"float32": 1, "int8": 1}


def test_an_operator_without_an_int8_kernel_is_named():
    content, _ = made(NETWORKS["conv"])
    model = unpack(content)
    floor = 8  # BuiltinOperator.FLOOR
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = floor
    with pytest.raises(UserError, match="FLOOR has no int8 kernel"):
        quantize(pack(model), None)
