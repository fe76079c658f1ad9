"""Exported files compute what torch computes, say how to use them, and refuse bad input."""

import json
import random

import numpy as np
import pytest
import torch

import nas
from nas.export import ImageMetadata, export
from search_spaces import UserError, space
from supernet import CompactNetwork, recalibrate


def _network(name, draw, **settings):
    found = space(name, **settings)
    architecture = found.random(random.Random(draw)) if draw is not None else found.largest()
    torch.manual_seed(0)
    network = CompactNetwork(found.describe(architecture))
    # statistics that are not the identity, so that folding them wrongly shows
    recalibrate(network, [torch.randn(16, *network.network.input_shape)])
    return network.eval(), architecture


CASES = [
    ("mobilenet_v3_tiny", 1, {"resolution": 16, "channels": 1}),
    ("mobilenet_v3_tiny", 2, {"resolution": 24, "lowering": "pad"}),
    ("mobilenet_v3_tiny", None, {"resolution": 17, "bypass": False}),
    ("mobilenet_v2", 3, {"resolution": 33, "classes": 7, "multiplier": 0.25}),
    ("mobilenet_v1", 4, {"resolution": 32, "classes": 5, "multiplier": 0.25}),
]


def _metadata(network):
    channels, resolution, _ = network.network.input_shape
    outputs = network.network.output_shapes[0][0]
    return ImageMetadata(
        mean=tuple(0.1 * (c + 1) for c in range(channels)),
        std=(0.25,) * channels,
        resolution=resolution,
        labels=tuple(f"class “{i}”" for i in range(outputs)),
        task="digits",
    )


def _close(ours, theirs):
    return np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize(("name", "draw", "settings"), CASES)
def test_pytorch_and_tflite_equal_torch_and_carry_metadata(tmp_path, name, draw, settings):
    network, architecture = _network(name, draw, **settings)
    metadata = _metadata(network)
    x = torch.randn(3, *network.network.input_shape)
    expected = network(x).detach().numpy()
    common = {"metadata": metadata, "architecture": architecture}

    file = export(network, tmp_path / "network", format="pytorch", **common)
    assert file.name == "network.safetensors"
    loaded = nas.load(file)
    assert not loaded.training
    assert np.array_equal(loaded(x).detach().numpy(), expected)
    assert loaded.metadata == metadata and loaded.metadata.layout == "NCHW"
    assert loaded.architecture == architecture

    litert = pytest.importorskip("ai_edge_litert.interpreter")
    from lut.tflite import read_metadata

    file = export(network, tmp_path / "network.tflite", format="tflite", **common)
    interpreter = litert.Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    for image, wanted in zip(x, expected, strict=True):
        nhwc = image.permute(1, 2, 0)[None].contiguous().numpy()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], nhwc)
        interpreter.invoke()
        got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        assert _close(got[0], wanted)
    stored = read_metadata(file.read_bytes())
    assert stored["labels"] == list(metadata.labels)
    assert stored["mean"] == list(metadata.mean) and stored["std"] == list(metadata.std)
    assert (stored["layout"], stored["resolution"]) == ("NHWC", metadata.resolution)
    assert stored["extra"]["architecture"] == architecture.to_dict()


@pytest.mark.parametrize(("name", "draw", "settings"), CASES[::2])
def test_onnx_equals_torch_at_any_batch_and_carries_metadata(tmp_path, capfd, name, draw, settings):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network, architecture = _network(name, draw, **settings)
    metadata = _metadata(network)
    network.train()
    file = export(
        network, tmp_path / "n", format="onnx", metadata=metadata, architecture=architecture
    )
    assert network.training, "exporting leaves the network as it was"
    assert capfd.readouterr().out == "", "standard output belongs to the command"
    assert [f.name for f in tmp_path.iterdir()] == ["n.onnx"], "one self-contained file"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    network.eval()
    for images in (1, 5):
        x = torch.randn(images, *network.network.input_shape)
        (got,) = session.run(None, {"image": x.numpy()})
        assert _close(got, network(x).detach().numpy())
    stored = session.get_modelmeta().custom_metadata_map
    assert json.loads(stored["labels"]) == list(metadata.labels)
    assert json.loads(stored["mean"]) == list(metadata.mean)
    assert json.loads(stored["std"]) == list(metadata.std)
    assert (stored["layout"], stored["resolution"]) == ("NCHW", str(metadata.resolution))
    assert json.loads(stored["architecture"]) == architecture.to_dict()


def test_what_does_not_fit_is_refused_and_nothing_is_overwritten(tmp_path):
    network, _ = _network("mobilenet_v3_tiny", 1, resolution=16, channels=1)
    good = _metadata(network)
    file = export(network, tmp_path / "a", format="pytorch", metadata=good)
    before = file.read_bytes()
    wrong = {
        "means": ImageMetadata((0.5, 0.5), (1.0, 1.0), 16),
        "px": ImageMetadata((0.5,), (1.0,), 32),
        "labels": ImageMetadata((0.5,), (1.0,), 16, labels=("only one",)),
    }
    for word, metadata in wrong.items():
        with pytest.raises(UserError, match=word):
            export(network, tmp_path / "a", format="pytorch", metadata=metadata)
    with pytest.raises(UserError, match="did you mean 'onnx'"):
        export(network, tmp_path / "a", format="onxx", metadata=good)
    with pytest.raises(UserError, match="folder"):
        export(network, tmp_path, format="pytorch", metadata=good)
    assert file.read_bytes() == before


def test_files_that_are_not_ours_are_refused_in_one_line(tmp_path):
    from safetensors.torch import save_file

    network, _ = _network("mobilenet_v3_tiny", 1, resolution=16, channels=1)
    file = export(network, tmp_path / "whole", format="pytorch", metadata=_metadata(network))
    content = file.read_bytes()
    (tmp_path / "half.safetensors").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("not a network at all, but long enough")
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    save_file(
        {"x": torch.zeros(2)},
        tmp_path / "newer.safetensors",
        {"kind": "netadapt-network", "schema": "99"},
    )
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        header = opened.metadata()
    save_file({"x": torch.zeros(2)}, tmp_path / "weights.safetensors", header)
    names = ["half", "empty", "text", "foreign", "newer", "weights", "missing"]
    for name in names:
        with pytest.raises(UserError) as caught:
            nas.load(tmp_path / f"{name}.safetensors")
        assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["executorch", "coreml"])
def test_a_missing_converter_names_its_extra(tmp_path, monkeypatch, format):
    network, _ = _network(*CASES[0][:2], **CASES[0][2])
    package = {"executorch": "executorch", "coreml": "coremltools"}[format]
    monkeypatch.setattr("nas.export.packages.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"{package}: pip install 'netadapt\[{format}\]'"):
        export(network, tmp_path / "n", format=format, metadata=_metadata(network))
    assert not list(tmp_path.iterdir())


def test_executorch_equals_torch_and_carries_metadata(tmp_path):
    pytest.importorskip("executorch")
    from executorch.runtime import Runtime

    network, architecture = _network(*CASES[0][:2], **CASES[0][2])
    metadata = _metadata(network)
    x = torch.randn(8, *network.network.input_shape)
    expected = network(x).detach().numpy()
    common = {"format": "executorch", "metadata": metadata, "architecture": architecture}
    file = export(network, tmp_path / "n", **common)
    small = export(network, tmp_path / "n8", precision="int8", images=[x], **common)
    assert file.name == "n.pte" and small.stat().st_size < file.stat().st_size
    for path, most in ((file, 1e-4), (small, 0.1)):
        program = Runtime.get().load_program(path)
        forward = program.load_method("forward")
        got = np.concatenate([forward.execute([image[None]])[0].numpy() for image in x])
        assert np.abs(got - expected).max() <= most * np.abs(expected).max()
        told = json.loads(program.load_method("metadata").execute([])[0])
        assert ImageMetadata.from_dict(told) == metadata
        assert told["architecture"] == architecture.to_dict()


def test_a_core_ml_package_carries_metadata(tmp_path):
    coremltools = pytest.importorskip("coremltools")
    network, architecture = _network(*CASES[0][:2], **CASES[0][2])
    metadata = _metadata(network)
    for _ in range(2):  # the second one takes the first one's place
        file = export(
            network,
            tmp_path / "n",
            format="coreml",
            metadata=metadata,
            architecture=architecture,
        )
    assert file.is_dir() and [f.name for f in tmp_path.iterdir()] == ["n.mlpackage"]
    model = coremltools.models.MLModel(str(file), skip_model_load=True)
    assert json.loads(model.user_defined_metadata["labels"]) == list(metadata.labels)
    description = model.get_spec().description
    assert [i.name for i in description.input] == ["image"]
    assert list(description.input[0].type.multiArrayType.shape) == [1, 1, 16, 16]
    assert [o.name for o in description.output] == ["output"]
