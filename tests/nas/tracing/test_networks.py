"""Traced networks are the originals: counts, outputs, and sub-networks of both."""

from __future__ import annotations

import json
import random
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nas.export.metadata import ImageMetadata
from nas.export.onnx import write
from nas.tracing import load_model, space_from_model
from nas.tracing.exported import outputs_of
from search_spaces import Architecture, SearchSpace, space_of
from supernet import Assignment, CompactNetwork, Supernet, extract
from supernet.compact import layer_key
from supernet.pruning import reorder, shrink
from tests.nas.tracing.models import HandWritten, Modern, Parts, UNet

TIMM = {
    "resnet18": 64,
    "resnet50": 64,
    "mobilenetv2_100": 64,
    "mobilenetv3_small_100": 64,
    "efficientnet_b0": 64,
    "mnasnet_100": 64,
    "regnetx_002": 64,
    "densenet121": 64,
    # its first linear layer is a 7×7 convolution of what is left at 224 px
    "vgg11_bn": 224,
    "tf_efficientnet_lite0": 64,
}


def make(name: str, classes: int = 10) -> tuple[nn.Module, int]:
    torch.manual_seed(0)
    if name == "unet":
        model: nn.Module = UNet(deep=True)
    elif name == "hand_written":
        model = HandWritten()
    elif name == "parts":
        model = Parts()
    elif name == "modern":
        model = Modern()
    else:
        model = load_model(f"timm:{name}", classes=classes)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.uniform_(-0.2, 0.2)
    return model.eval(), {"unet": 32, "hand_written": 32, "modern": 32, "parts": 32, **TIMM}[name]


@torch.no_grad()
def counted(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """MACs of one image and parameters, from what passes through the modules."""
    macs = 0

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            macs += module.weight.numel()

    handles = [module.register_forward_hook(hook) for module in model.modules()]
    model(x[:1])
    for handle in handles:
        handle.remove()
    return macs, sum(p.numel() for p in model.parameters())


@torch.no_grad()
def zero_dropped(
    model: nn.Module, weights: dict[str, Tensor], space: SearchSpace, architecture: Architecture
) -> None:
    """Zero every dropped filter in the original model itself, by its own parameters."""
    owned = {p.data_ptr(): p for p in model.parameters()}
    network = space.describe(architecture)
    for operation in network.operations:
        if operation.type not in ("conv", "linear", "batch_norm"):
            continue
        dropped = torch.ones(space.largest_shapes[operation.node][0], dtype=torch.bool)
        for start, stop in network.kept_channels(operation.name, operation.output_shape[0]):
            dropped[start:stop] = False
        assert int((~dropped).sum()) == operation.output_shape[0]
        for key, tensor in weights.items():
            if key.startswith(f"layers.{layer_key(operation.node)}.") and key.endswith(
                (".weight", ".bias")
            ):
                owned[tensor.data_ptr()][dropped] = 0


def error(got: list[Tensor], expected: list[Tensor]) -> float:
    return max(
        float((a.reshape(b.shape) - b).abs().max() / b.abs().max())
        for a, b in zip(got, expected, strict=True)
    )


@pytest.mark.parametrize("name", [*TIMM, "unet", "hand_written", "parts"])
def test_traced_network_is_the_original(name: str) -> None:
    model, resolution = make(name)
    space, weights = space_from_model(model, resolution, check=False)
    x = torch.randn(2, 3, resolution, resolution)

    largest = space.describe(space.largest())
    assert (largest.macs, largest.params) == counted(model, x)
    rebuilt = CompactNetwork(largest).eval()
    rebuilt.load_state_dict(weights)
    with torch.no_grad():
        original = outputs_of(model, x)
        assert error(outputs_of(rebuilt, x), original) < 1e-4
    del rebuilt

    supernet = Supernet(space).eval()
    supernet.load_state_dict(weights)
    architecture = space.random(random.Random(1), low=0.4)
    stored = Architecture.from_dict(json.loads(json.dumps(architecture.to_dict())))
    assert space_of(stored).describe(stored) == space.describe(architecture)
    with torch.no_grad():
        compact = outputs_of(extract(supernet, architecture), x)
        masked = supernet(x, Assignment((architecture,)))
        assert error(compact, list(masked) if isinstance(masked, tuple) else [masked]) < 1e-4
        del supernet
        zero_dropped(model, weights, space, architecture)
        assert error(compact, outputs_of(model, x)) < 1e-4
        # filters were really dropped, and they mattered
        assert error(compact, original) > 1e-3


def test_whole_tensors_that_are_split_off_stay_free() -> None:
    space, _ = space_from_model(Parts(), 32)
    assert list(space.choices) == ["a.width", "b.width", "inner.width"]
    smaller = space.describe({"a.width": 8, "b.width": 16, "inner.width": 32})
    assert smaller.operations[-1].input_shapes == ((28, 1, 1),)


def test_norms_and_reordered_axes_are_exact(tmp_path: Path) -> None:
    model, resolution = make("modern")
    space, weights = space_from_model(model, resolution)
    assert {"stem.width", "wide.width", "left.width"} == set(space.choices)
    supernet = Supernet(space).double().eval()
    supernet.load_state_dict(weights)
    supernet.double()
    x = torch.randn(2, *space.input_shape, dtype=torch.float64)
    for seed in range(3):
        architecture = space.random(random.Random(seed))
        compact = extract(supernet, architecture)
        with torch.no_grad():
            expected = compact(x)
            assert error([supernet(x, Assignment((architecture,)))], [expected]) < 1e-10
        smaller = shrink(extract(supernet, space.largest()), compact.network)
        with torch.no_grad():
            assert error([smaller(x)], [expected]) < 1e-10
    whole = extract(supernet, space.largest())
    with torch.no_grad():
        before = whole(x)
        reorder(whole, space)
        assert error([whole(x)], [before]) < 1e-10
    file = tmp_path / "modern.onnx"
    write(compact.float(), file, ImageMetadata((0.5,) * 3, (0.25,) * 3, resolution), None)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"image": x.float().numpy()})
    assert error([torch.from_numpy(given)], [expected.float()]) < 1e-4


def test_the_model_is_left_as_it_was() -> None:
    model = UNet().train()
    model.down1.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    space_from_model(model, 32)
    assert model.training and not model.down1.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_several_outputs_keep_their_order_and_width() -> None:
    space, _ = space_from_model(UNet(deep=True), 32)
    assert space.describe(space.smallest()).output_shapes == ((2, 32, 32), (2, 16, 16))
