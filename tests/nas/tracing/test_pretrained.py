"""timm's modules and our reference descriptions are the same networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nas.tracing import load_model
from nas.tracing.pretrained import TIMM, load_pretrained, open_network, timm_name
from search_spaces import UserError, space
from supernet import CompactNetwork, Supernet


def timm_model(name: str, classes: int | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = load_model(f"timm:{name}", classes=classes).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model


# widths other than 1.0 test the rounding rules too
CASES = [(name, 1.0, bypass) for name in TIMM for bypass in (False, True)]
CASES += [(f"mobilenet_v3_{size}", 0.75, False) for size in ("large", "small")]
CASES += [("mobilenet_v2", 0.5, True)]


@pytest.mark.parametrize(("name", "width", "bypass"), CASES)
def test_outputs_equal_timms(name: str, width: float, bypass: bool, tmp_path: Path) -> None:
    ours = space(name, resolution=64, multiplier=width, bypass=bypass)
    model = timm_model(timm_name(ours))
    file = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), file)
    weights = load_pretrained(ours, file)
    network = CompactNetwork(ours.describe(ours.largest())).eval()
    network.load_state_dict(weights)
    supernet = Supernet(ours).eval()
    supernet.load_state_dict(weights)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(x)
        for module in (network, supernet):
            assert (module(x) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_weights_fit_maps_of_one_pixel(tmp_path: Path) -> None:
    """At 32 px the last map is one pixel, where pooling and gates look like nothing."""
    for name in ("mobilenet_v2", "mobilenet_v3_small"):
        ours = space(name, resolution=32, classes=10)
        model = timm_model(timm_name(ours), classes=10)
        file = tmp_path / f"{name}.safetensors"
        save_file(model.state_dict(), file)
        _, traced = open_network(f"timm:{timm_name(ours)}", resolution=32, classes=10, weights=file)
        assert traced
        network = CompactNetwork(ours.describe(ours.largest())).eval()
        network.load_state_dict(load_pretrained(ours, file))
        x = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            expected = model(x)
            assert (network(x) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_training_checkpoints_are_unwrapped_and_classifiers_replaced(tmp_path: Path) -> None:
    model = timm_model("mobilenetv3_small_100", classes=7)
    file = tmp_path / "last.pth"
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, file)
    ours = space("mobilenet_v3_small", resolution=64, classes=10)
    with pytest.raises(UserError, match=r"output_shape \(7, 1, 1\) against \(10, 1, 1\)"):
        load_pretrained(ours, file)
    weights = load_pretrained(ours, file, new_classifier=True)
    assert set(Supernet(ours).state_dict()) - set(weights) == {
        "layers.classifier.linear.weight",
        "layers.classifier.linear.bias",
    }


def test_files_of_another_architecture_are_refused(tmp_path: Path) -> None:
    ours = space("mobilenet_v2", resolution=64)
    other = tmp_path / "other.safetensors"
    save_file(load_model("timm:mobilenetv3_small_100").state_dict(), other)
    with pytest.raises(UserError, match=r"other\.safetensors for mobilenetv2_100: .* missing \("):
        load_pretrained(ours, other)

    state = load_model("timm:mobilenetv2_100").state_dict()
    state["conv_head.weight"] = torch.zeros(640, 320, 1, 1)
    save_file(state, other)
    with pytest.raises(
        UserError,
        match=r"tensors 1 of another shape \(conv_head\.weight 640×320×1×1 instead of 1280×320×1×1",
    ):
        load_pretrained(ours, other)


@pytest.mark.parametrize("name", ["absent.pth", "text.pth", "text.safetensors", "short.pth"])
def test_files_without_weights_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not a checkpoint")
    (tmp_path / "text.safetensors").write_text("not a checkpoint")
    torch.save({"epoch": 1}, tmp_path / "short.pth")
    with pytest.raises(UserError, match=name):
        load_pretrained(space("mobilenet_v2", resolution=64), tmp_path / name)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "evil.pth"
    torch.save({"state_dict": Path("x")}, file)
    with pytest.raises(UserError, match=r"evil\.pth"):
        load_pretrained(space("mobilenet_v2", resolution=64), file)


def test_spaces_without_published_weights_say_so() -> None:
    with pytest.raises(UserError, match="timm has no weights for space mobilenet_v3_tiny"):
        load_pretrained(space("mobilenet_v3_tiny"))
    with pytest.raises(UserError, match="mobilenetv3_small_050 is not the network of"):
        load_pretrained(
            # timm leaves the stem of its narrowest networks at full width
            space("mobilenet_v3_small", resolution=64, multiplier=0.5),
            _saved(load_model("timm:mobilenetv3_small_050")),
        )


def _saved(model: nn.Module) -> Path:
    import tempfile

    file = Path(tempfile.mkdtemp()) / "weights.safetensors"
    save_file(model.state_dict(), file)
    return file
