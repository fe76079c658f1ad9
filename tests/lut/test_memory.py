"""The peak memory of a description is the arena that the runtime plans for its file."""

import random

import pytest

from lut.tflite import quantize, write_network
from lut.tflite.memory import peak_memory
from lut.tflite.model import unpack
from search_spaces import names
from tests.spaces import fitting

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

from ai_edge_litert.interpreter import OpResolverType

from lut.devices.host import open_interpreter


def arena(content):
    """Bytes from the first to the last computed tensor, delegates off."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = open_interpreter(content, experimental_op_resolver_type=resolver)
    constant = {i for i, t in enumerate(unpack(content).subgraphs[0].tensors) if t.buffer}
    spans = []
    for index in {d["index"] for d in interpreter.get_tensor_details()} - constant:
        try:
            value = interpreter.tensor(index)()
        except ValueError:  # a temporary tensor without memory
            continue
        begin = value.__array_interface__["data"][0]
        spans.append((begin, begin + value.nbytes))
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


@pytest.mark.parametrize("name", [n for n in names() if not n.endswith(("_large", "_small"))])
def test_it_is_what_the_interpreter_plans(name):
    found = fitting(name, resolution=64, multiplier=0.5)
    source = random.Random(0)
    for architecture in (found.largest(), found.smallest(), found.random(source)):
        network = found.describe(architecture)
        content = write_network(network, None)
        assert peak_memory(network) == pytest.approx(arena(content), rel=0.01)
        small = quantize(content, None)
        assert peak_memory(network, "int8") == pytest.approx(arena(small), rel=0.01)
