"""Published weights of the reference networks, from timm's hub or a checkpoint file.

Names are not translated: the timm module is traced, and where its description equals ours,
operation by operation, its weights are ours. So any difference is found before anything runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nas.tracing import Weights, load_model, space_from_model
from search_spaces import Network, Operation, SearchSpace, UserError, names
from search_spaces import space as registered
from supernet.compact import layer_key

TIMM = {
    "mobilenet_v1": "mobilenetv1",
    "mobilenet_v2": "mobilenetv2",
    "mobilenet_v3_large": "mobilenetv3_large",
    "mobilenet_v3_small": "mobilenetv3_small",
}
"""Our reference network → timm's, without the width."""

COMPARED = 64
"""Pixels below which networks are compared at these: weights do not depend on the resolution, and
on maps of one pixel pooling is lost from a trace."""

WRAPPERS = ("state_dict_ema", "state_dict", "model_ema", "model")
"""Keys under which training scripts keep the weights in a checkpoint."""


def timm_name(space: SearchSpace) -> str:
    """timm's name of a reference network, ``mobilenetv2_100`` for ``mobilenet_v2`` at 1.0.

    Raises:
        UserError: timm has no such network.
    """
    if space.name not in TIMM:
        raise UserError(
            f"timm has no weights for space {space.name}; it has them for {', '.join(TIMM)}"
        )
    return f"{TIMM[space.name]}_{round(100 * space.settings.get('multiplier', 1.0)):03d}"


def open_network(
    name: str,
    *,
    resolution: int | None = None,
    classes: int | None = None,
    weights: Path | Literal["pretrained"] | None = None,
) -> tuple[SearchSpace, Weights]:
    """A trained network to start from: its space, and its weights as a super-network's state.

    Args:
        name: a reference network (``mobilenet_v2``) or a model (`load_model`).
        resolution: height and width of the input in pixels; by default the network's own.
        classes: outputs; not for a function of the user's own, which decides itself.
        weights: ``pretrained`` for published ones, or a checkpoint file of the model's state.
            None leaves a model as it is built, which for the user's own function is trained.

    Raises:
        UserError: no such network, one that cannot be described, or weights of another one.
    """
    file = None if weights == "pretrained" else weights
    if name in names():
        given = {"resolution": resolution, "classes": classes}
        found = registered(
            name, **{key: value for key, value in given.items() if value is not None}
        )
        if weights is None:
            raise UserError(f"{name} has no weights of its own; give pretrained or a checkpoint")
        return found, load_pretrained(found, file)
    model = load_model(name, pretrained=weights == "pretrained", classes=classes)
    if file is not None:
        fill(model, read_checkpoint(file), f"{file} for {name}")
    return space_from_model(model, resolution, name=name)


def load_pretrained(
    space: SearchSpace, file: Path | None = None, *, new_classifier: bool = False
) -> Weights:
    """The state dict of ``Supernet(space)`` with trained weights of its largest network.

    Args:
        space: a reference space at its published width.
        file: a ``.safetensors`` or ``.pth`` checkpoint with timm's names; None downloads from
            timm's hub.
        new_classifier: the classifier's own weights are left out, so that the classes may
            differ; load the result with ``strict=False``.

    Raises:
        UserError: no such weights, or weights of another architecture; what differs is named.
    """
    name = timm_name(space)
    compared = space.at(max(space.resolution, COMPARED))
    tensors = None if file is None else read_checkpoint(file)
    classes = None
    if tensors is not None and "classifier.bias" in tensors:
        classes = len(tensors["classifier.bias"])
    model = load_model(f"timm:{name}", pretrained=file is None, classes=classes)
    if tensors is not None:
        assert file is not None
        fill(model, tensors, f"{file} for {name}")
    source, weights = space_from_model(
        model, compared.resolution, channels=space.input_channels, name=name
    )
    return transfer(source, weights, compared, new_classifier=new_classifier)


def transfer(
    source: SearchSpace, weights: Weights, target: SearchSpace, *, new_classifier: bool = False
) -> Weights:
    """The weights of one space for another whose largest network is the same.

    A 1×1 convolution of a vector and a linear layer are the same operation here.

    Raises:
        UserError: the networks differ; the first differing operations are named.
    """
    ours, theirs = (s.describe(s.largest()) for s in (target, source))
    last = [o.name for o in ours.operations if o.type in ("conv", "linear")][-1]
    skipped = last if new_classifier else None
    _same(theirs, ours, source.name, target.name, skipped)
    state: Weights = {}
    for a, b in zip(theirs.operations, ours.operations, strict=True):
        if b.name == skipped:
            continue
        old, new = (f"layers.{layer_key(o.node)}." for o in (a, b))
        for key, tensor in weights.items():
            if key.startswith(old):
                field = key.removeprefix(old)
                if a.type != b.type:
                    field = field.replace(f"{a.type}.", f"{b.type}.")
                    if field.endswith(".weight"):
                        tensor = tensor.flatten(1) if b.type == "linear" else _as_conv(tensor)
                state[new + field] = tensor
    return state


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or ``.pth`` file by name; nothing in it is executed.

    Raises:
        UserError: the file is missing, truncated, or holds something else than tensors.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{file}: not a file of weights, or truncated ({line})") from None
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = (
        {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise UserError(f"{file}: holds no tensors by name")
    return tensors


def fill(model: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load every tensor of a model, in place.

    Args:
        model: the module that is filled.
        tensors: its state dict; counters of batch norms may be missing.
        what: how the tensors are called in the error.

    Raises:
        UserError: names or shapes differ; the model is then left as it was.
    """
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    given = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    missing = [k for k in own if k not in given]
    extra = [k for k in given if k not in own]
    other = [
        f"{k} {_show(given[k].shape)} instead of {_show(v.shape)}"
        for k, v in own.items()
        if k in given and given[k].shape != v.shape
    ]
    parts = [
        f"{len(found)} {kind} ({_brief(found)})"
        for kind, found in (("missing", missing), ("unknown", extra), ("of another shape", other))
        if found
    ]
    if parts:
        raise UserError(f"{what}: weights of another architecture; tensors {', '.join(parts)}")
    model.load_state_dict(dict(given), strict=False)


def _same(theirs: Network, ours: Network, source: str, target: str, skipped: str | None) -> None:
    renamed = {"input": "input"}
    for a, b in zip(theirs.operations, ours.operations, strict=False):
        difference = _difference(a, b, renamed, outputs=b.name != skipped)
        if difference:
            raise UserError(
                f"{source} is not the network of space {target}: {difference}, "
                f"at {a.name} of {source} and {b.name} of {target}"
            )
        renamed[a.name] = b.name
    if len(theirs.operations) != len(ours.operations):
        raise UserError(
            f"{source} is not the network of space {target}: it has {len(theirs.operations)} "
            f"operations, the space's largest network {len(ours.operations)}"
        )


def _difference(a: Operation, b: Operation, renamed: Mapping[str, str], *, outputs: bool) -> str:
    def kind(operation: Operation) -> str:
        vector = operation.type == "conv" and operation.input_shapes[0][1:] == (1, 1)
        return "linear" if vector and operation.kernel == (1, 1) else operation.type

    if kind(a) != kind(b):
        return f"{a.type} against {b.type}"
    fields = [
        "kernel",
        "stride",
        "padding",
        "dilation",
        "groups",
        "activation",
        "norm",
        "norm_eps",
        "bias",
    ]
    fields += ["input_shapes", "output_shape"] if outputs else ["input_shapes"]
    if kind(a) == "global_avg_pool":
        fields = ["input_shapes"]
    for field in fields:
        x, y = getattr(a, field), getattr(b, field)
        if x != y and not (field == "norm_eps" and not a.norm):
            return f"{field} {x} against {y}"
    if sorted(renamed.get(i, "") for i in a.inputs) != sorted(b.inputs):
        return "other inputs"
    return ""


def _as_conv(weight: Tensor) -> Tensor:
    return weight[:, :, None, None]


def _show(shape: Sequence[int]) -> str:
    return "×".join(str(size) for size in shape) or "scalar"


def _brief(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
