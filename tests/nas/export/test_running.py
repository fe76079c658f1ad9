"""An exported file as a function of images."""

import numpy as np
import pytest
import torch

from nas.export import ImageMetadata, export
from nas.export.running import ExportedFile
from search_spaces import space
from supernet import CompactNetwork

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")


def test_of_equal_int8_classes_the_first_one_is_taken(tmp_path):
    """As by an application's argmax; a meter counts what is equal against a network."""
    found = space("mobilenet_v3_tiny", resolution=16, channels=1, classes=10, multiplier=0.5)
    torch.manual_seed(0)
    network = CompactNetwork(found.describe(found.scaled(0.5))).eval()
    with torch.no_grad():
        layer = network.layer("classifier").linear
        layer.weight[3:6], layer.bias[3:6] = layer.weight[3].clone(), 5.0
    images = torch.randn(8, 1, 16, 16)
    metadata = ImageMetadata((0.5,), (0.25,), 16, tuple("0123456789"))
    path = tmp_path / "network.tflite"
    export(network, path, format="tflite", metadata=metadata, precision="int8", images=[images])
    outputs = ExportedFile(path)(images)
    assert outputs.argmax(1).tolist() == [3] * 8
    assert (outputs[:, 3] > outputs[:, 4]).all() and (outputs[:, 4] > outputs[:, 5]).all()
    np.testing.assert_allclose(outputs, network(images).detach(), atol=0.2)
