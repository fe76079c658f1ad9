"""Files give torch's output: operation by operation and for whole networks."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from lut.tflite import Metadata, read_metadata, write_network
from lut.tflite.model import unpack
from search_spaces import Network, Operation, UserError, names, space
from supernet import CompactNetwork
from supernet.norms import ChannelNorm
from tests.spaces import fitting

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

from lut.devices.host import open_interpreter
from nas.export.tflite import weights_of


def conv(c_in, c_out, size, kernel=3, stride=1, padding=None, groups=1, dilation=(1, 1), **fields):
    pad = (kernel // 2,) * 4 if padding is None else padding
    out = [
        (s + pad[2 * a] + pad[2 * a + 1] - dilation[a] * (kernel - 1) - 1) // stride + 1
        for a, s in enumerate((size, size + 1))
    ]
    return Operation(
        name="op",
        type="conv",
        inputs=("input",),
        input_shapes=((c_in, size, size + 1),),
        output_shape=(c_out, *out),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=pad,
        groups=groups,
        dilation=dilation,
        **fields,
    )


def unary(type_, shape, out, **fields):
    return Operation("op", type_, ("input",), (shape,), out, **fields)


def pool(type_, size, out, kernel, stride, pad, mode):
    return unary(
        type_,
        (5, size, size),
        (5, out, out),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=(pad,) * 4,
        mode=mode,
    )


OPERATIONS = {
    "conv": conv(3, 8, 9, norm=True),
    "conv, even size, stride 2": conv(3, 8, 8, stride=2, norm=True, activation="relu"),
    "conv 5x5, stride 2": conv(4, 8, 10, kernel=5, stride=2, activation="relu6"),
    "conv, uneven padding": conv(4, 8, 10, stride=2, padding=(1, 0, 0, 1), bias=True),
    "conv, no padding": conv(4, 8, 10, padding=(0, 0, 0, 0)),
    "pointwise, hard swish": conv(8, 16, 7, kernel=1, norm=True, activation="hard_swish"),
    "pointwise, hard sigmoid": conv(8, 16, 7, kernel=1, bias=True, activation="hard_sigmoid"),
    "pointwise, silu": conv(8, 16, 7, kernel=1, norm=True, activation="silu"),
    "pointwise, sigmoid": conv(8, 16, 7, kernel=1, bias=True, activation="sigmoid"),
    "grouped": conv(8, 16, 7, groups=2, norm=True),
    "depthwise": conv(12, 12, 9, groups=12, norm=True, activation="relu"),
    "depthwise 5x5, stride 2": conv(12, 12, 8, 5, 2, groups=12, norm=True),
    "depthwise 7x7": conv(12, 12, 9, 7, groups=12, norm=True, activation="hard_swish"),
    "depthwise 7x7, stride 2, even": conv(12, 12, 8, 7, 2, groups=12, activation="relu"),
    "depthwise 7x7, no padding": conv(12, 12, 9, 7, padding=(0,) * 4, groups=12, norm=True),
    "depthwise 9x9, small map": conv(6, 6, 3, 9, groups=6, norm=True),
    "depthwise, two filters each": conv(6, 12, 9, groups=6, norm=True),
    "dilated": conv(4, 8, 9, dilation=(2, 2), padding=(4, 4, 4, 4), norm=True),
    "dilated depthwise": conv(6, 6, 9, dilation=(2, 2), padding=(4,) * 4, groups=6),
    "norm over channels": unary(
        "layer_norm", (6, 5, 4), (6, 5, 4), norm=True, norm_eps=1e-6, mode="channels"
    ),
    "norm over everything": unary("layer_norm", (6, 5, 4), (6, 5, 4), norm=True, mode="all"),
    "linear": unary("linear", (12, 1, 1), (7, 1, 1), bias=True),
    "linear, hard swish": unary(
        "linear", (12, 1, 1), (7, 1, 1), bias=True, activation="hard_swish"
    ),
    "batch norm": unary("batch_norm", (6, 5, 4), (6, 5, 4), norm=True, activation="relu"),
    **{
        name: unary("activation", (6, 5, 4), (6, 5, 4), activation=name)
        for name in (
            "relu",
            "relu6",
            "hard_swish",
            "hard_sigmoid",
            "sigmoid",
            "silu",
            "gelu",
            "elu",
            "tanh",
        )
    },
    "average, ceil, odd": pool("avg_pool", 7, 4, 2, 2, 0, "ceil"),
    "average, even": pool("avg_pool", 8, 4, 2, 2, 0, "ceil"),
    "average, padded, not counted": pool("avg_pool", 8, 4, 3, 2, 1, "floor"),
    "average, padded, not counted, ceil": pool("avg_pool", 8, 5, 3, 2, 1, "ceil"),
    "average, padded, counted": pool("avg_pool", 8, 4, 3, 2, 1, "floor+count_padding"),
    "average, padded, counted, ceil": pool("avg_pool", 8, 5, 3, 2, 1, "ceil+count_padding"),
    "maximum": pool("max_pool", 8, 4, 2, 2, 0, "floor"),
    "maximum, padded": pool("max_pool", 8, 4, 3, 2, 1, "floor"),
    "global average": unary("global_avg_pool", (6, 5, 4), (6, 1, 1), kernel=(5, 4)),
    "slice": unary("slice", (9, 4, 5), (4, 4, 5), start=3),
    "shuffle": unary("channel_shuffle", (6, 4, 5), (6, 4, 5), mode="3"),
    "channel pad": unary("pad_channels", (4, 4, 5), (9, 4, 5)),
    "nearest": unary("resize", (4, 3, 5), (4, 6, 10), mode="nearest"),
    "bilinear": unary("resize", (4, 3, 5), (4, 6, 10), mode="bilinear"),
    "flatten": unary("flatten", (4, 3, 5), (60, 1, 1)),
    "flatten a vector": unary("flatten", (4, 1, 1), (4, 1, 1)),
}


def joined(type_, *shapes, out, **fields):
    """A network that makes inputs of these shapes from one image and joins them."""
    parts = [
        replace(conv(3, c, 6, 1, bias=True), name=f"in{i}", input_shapes=((3, *size),))
        for i, (c, *size) in enumerate(shapes)
    ]
    parts = [replace(p, output_shape=(p.output_shape[0], *p.input_shapes[0][1:])) for p in parts]
    pooled = []
    for i, (c, *size) in enumerate(shapes):
        if size == [1, 1]:
            parts[i] = replace(parts[i], name=f"map{i}", input_shapes=((3, 6, 7),))
            parts[i] = replace(parts[i], output_shape=(c, 6, 7))
            pooled.append(
                Operation(
                    f"in{i}", "global_avg_pool", (f"map{i}",), ((c, 6, 7),), (c, 1, 1), (6, 7)
                )
            )
    inputs = tuple(f"in{i}" for i in range(len(shapes)))
    last = Operation("op", type_, inputs, tuple(shapes), out, **fields)
    return Network("joined", (3, 6, 7), (*parts, *pooled, last), ("op",), {})


JOINS = {
    "add": joined("add", (4, 6, 7), (4, 6, 7), out=(4, 6, 7), activation="relu"),
    "add, hard swish": joined("add", (4, 6, 7), (4, 6, 7), out=(4, 6, 7), activation="hard_swish"),
    "product": joined("multiply", (4, 6, 7), (4, 6, 7), out=(4, 6, 7)),
    "gate": joined("multiply", (4, 6, 7), (4, 1, 1), out=(4, 6, 7)),
    "concat": joined("concat", (4, 6, 7), (3, 6, 7), (5, 6, 7), out=(12, 6, 7)),
}


def outputs(network, *, seed=0):
    """torch's and the file's output of a network with random weights and statistics."""
    torch.manual_seed(seed)
    module = CompactNetwork(network).eval()
    for layer in module.modules():
        if isinstance(layer, ChannelNorm):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.5)
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.5)
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.5)
    image = torch.randn(1, *network.input_shape)
    with torch.no_grad():
        expected = module(image).numpy()
    interpreter = open_interpreter(write_network(network, weights_of(module)))
    (entry,) = interpreter.get_input_details()
    interpreter.set_tensor(entry["index"], image.numpy().transpose(0, 2, 3, 1).copy())
    interpreter.invoke()
    given = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    if given.ndim == 4:
        given = given.transpose(0, 3, 1, 2)
    return expected, given


def agree(expected, given, tolerance=1e-5):
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() <= tolerance * max(np.abs(expected).max(), 1)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_torchs_output(name):
    operation = OPERATIONS[name]
    network = Network("one", operation.input_shapes[0], (operation,), ("op",), {})
    agree(*outputs(network))


@pytest.mark.parametrize("name", JOINS)
def test_a_join_gives_torchs_output(name):
    agree(*outputs(JOINS[name]))


def test_every_type_of_operation_is_covered():
    from typing import get_args

    from search_spaces.operation import OperationType

    tested = {o.type for o in OPERATIONS.values()} | {n.operations[-1].type for n in JOINS.values()}
    assert tested == set(get_args(OperationType))


@pytest.mark.parametrize("lowering", ["concat", "pad"])
def test_random_networks_give_torchs_output(lowering):
    searched = space("mobilenet_v3_tiny", resolution=25, lowering=lowering)
    source = random.Random(1)
    for architecture in [searched.largest(), *(searched.random(source) for _ in range(6))]:
        agree(*outputs(searched.describe(architecture)), tolerance=1e-4)


@pytest.mark.parametrize("name", [n for n in names() if not n.endswith("tiny")])
def test_reference_networks_give_torchs_output(name):
    settings = {} if name == "fastdepth" else {"resolution": 64}
    searched = fitting(name, multiplier=0.25, **settings)
    network = searched.describe(searched.smallest())
    agree(*outputs(network), tolerance=1e-4)


def test_metadata_travels_with_the_file():
    searched = space("mobilenet_v3_tiny")
    network = searched.describe(searched.smallest())
    metadata = Metadata(labels=["zero", "öne"], mean=[0.5], std=[0.25], extra={"task": "digits"})
    stored = read_metadata(write_network(network, None, metadata))
    assert stored["labels"] == ["zero", "öne"]
    assert stored["mean"] == [0.5] and stored["std"] == [0.25]
    assert stored["layout"] == "NHWC" and stored["resolution"] == network.resolution
    assert stored["extra"] == {"task": "digits"}


def test_missing_weights_and_foreign_files_are_refused():
    searched = space("mobilenet_v3_tiny")
    with pytest.raises(UserError, match="no weights for the operation 'stem'"):
        write_network(searched.describe(searched.smallest()), {})
    with pytest.raises(UserError, match="not a TFLite file"):
        unpack(b"something else entirely")
