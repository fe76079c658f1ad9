"""What cannot be described is named with its place and the reason, on one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.tracing import load_model, space_from_model
from search_spaces import UserError

MODELS = "tests.nas.tracing.models"


class Around(nn.Module):
    """A layer between two convolutions."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 1)
        self.middle = middle
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.first(x))
        return self.last(x) if x.shape[1] == 16 else x


class Lambda(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[operator, no-any-return]


def branch(x: Tensor) -> Tensor:
    return x * 2 if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (nn.ConvTranspose2d(16, 16, 2, 2), "middle (ConvTranspose2d): transposed convolution"),
        (nn.Conv2d(16, 32, 3, groups=16), "middle (Conv2d): depthwise convolution with 2 filters"),
        (nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"), "padding of mode reflect"),
        (nn.LayerNorm([16, 16, 16]), "middle (LayerNorm): layer normalisation"),
        (nn.GroupNorm(4, 16), "middle (GroupNorm): group normalisation"),
        (nn.BatchNorm2d(16, track_running_stats=False), "without running statistics"),
        (nn.Mish(), "middle (Mish): activation Mish"),
        (nn.PixelShuffle(2), "middle (PixelShuffle): pixel shuffle"),
        (nn.Upsample(scale_factor=1.5), "resizing 16×16 to 24×24: not one whole factor"),
        (nn.UpsamplingBilinear2d(scale_factor=2), "align_corners=True"),
        (nn.AdaptiveAvgPool2d(5), "adaptive pooling from 16×16 to 5×5"),
        (Lambda(lambda x: x[:, :, 1:]), "middle (Lambda): a part of the positions is taken"),
        (Lambda(lambda x: x + torch.ones(16, 16)), "differs from position to position"),
        (Lambda(lambda x: x * x.mean(1, keepdim=True)), "a mean over something else"),
        (Lambda(lambda x: x.reshape(2, 32, 8, 16)), "a reshape to 32×8×16"),
        (Lambda(lambda x: x.transpose(2, 3)), "dimensions are reordered"),
        (Lambda(branch), "its control flow depends on the values of a tensor"),
        (nn.Conv2d(8, 16, 1), "cannot be traced on a batch of 3×16×16 images"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_described_is_named(middle: nn.Module, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        space_from_model(Around(middle), 16)
    message = str(caught.value)
    assert message.startswith("Around cannot be ")
    assert reason in message
    assert "\n" not in message


def test_every_reason_is_named_once() -> None:
    model = Around(nn.Sequential(nn.Mish(), nn.PReLU()))
    with pytest.raises(UserError, match=r"middle\.0 \(Mish\): activation Mish$"):
        space_from_model(model, 16)

    class Two(Around):
        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(self.middle[0](x)) + self.last(self.middle[1](x))  # type: ignore[index]

    model = Two(nn.ModuleList([nn.Mish(), nn.PReLU()]))
    with pytest.raises(UserError, match=r"Mish; middle\.1 \(PReLU\): activation PReLU$"):
        space_from_model(model, 16)


def test_a_layer_used_twice_is_refused() -> None:
    class Twice(Around):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.middle(self.middle(self.first(x))))

    with pytest.raises(UserError, match=r"middle \(Conv2d\): a layer with weights is used more"):
        space_from_model(Twice(nn.Conv2d(16, 16, 1)), 16)


def test_nothing_to_search_is_refused() -> None:
    with pytest.raises(UserError, match="no width that could change"):
        space_from_model(nn.Conv2d(3, 16, 1), 16)


def test_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(load_model(f"{MODELS}:build_unet")).__name__ == "UNet"
    (tmp_path / "parts.py").write_text("from torch import nn\nlayer = nn.Conv2d(3, 8, 1)\n")
    (tmp_path / "own.py").write_text("import parts\ndef build():\n    return parts.layer\n")
    assert isinstance(load_model(f"{tmp_path / 'own.py'}:build"), nn.Conv2d)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found_here.py").write_text("from torch import nn\nbuild = nn.Identity\n")
    assert isinstance(load_model("found_here:build"), nn.Identity)
    assert load_model("timm:resnet18", classes=7).fc.out_features == 7  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", "names no model"),
        ("timm:resnet19", "unknown timm model 'resnet19'; did you mean 'resnet"),
        ("no_such_module:build", "there is no module 'no_such_module'"),
        ("no/such/file.py:build", "there is no file no/such/file.py"),
        (f"{MODELS}:build_ynet", "did you mean 'build_unet'"),
        (f"{MODELS}:build_nothing", "returned int, expected a torch.nn.Module"),
        (f"{MODELS}:build_broken", "raised RuntimeError: no weights today"),
    ],
)
def test_names_of_no_model_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_model(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tracing_needs_no_data() -> None:
    model = Around(nn.ReLU())
    with torch.device("meta"):
        empty = Around(nn.ReLU())
    assert space_from_model(model, 16)[0].fingerprint == space_from_model(empty, 16)[0].fingerprint
