"""A module as a flat list of tensor operations, by ``torch.export``.

``torch.fx.symbolic_trace`` was tried first: it stops at any use of a shape in Python (timm's VGG
and every SAME-padded layer), while export runs the module with tensors of known shape and without
data, so only control flow that depends on values stops it. It takes 0.2 to 2 s a network.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from search_spaces import UserError

BATCH = 2
"""Images of the example batch; two, so that a batch is never mistaken for a size of one."""


@dataclass(frozen=True)
class Exported:
    """The graph of a module in evaluation mode; ``tensors`` maps placeholders to what they hold."""

    graph: torch.fx.Graph
    tensors: dict[str, tuple[str, Tensor]]
    """Placeholder → (name in the module, parameter or buffer)."""
    input: str
    """The placeholder of the image batch."""


def export(model: nn.Module, channels: int, resolution: int) -> Exported:
    """The graph of ``model`` for square images of ``resolution`` pixels.

    The model is run on tensors without data, in evaluation mode; it is left as it was.

    Raises:
        UserError: the model fails on such an input, or its control flow depends on values.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    example = torch.zeros(BATCH, channels, resolution, resolution, device=device)
    try:
        with torch.no_grad(), in_evaluation(model), _quiet():
            program = torch.export.export(model, (example,), strict=False)
    except Exception as error:
        raise UserError(_reason(model, error, channels, resolution)) from None
    signature = program.graph_signature
    state = {**program.state_dict, **program.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    return Exported(
        graph=program.graph,
        tensors={key: (name, state[name].detach()) for key, name in names.items()},
        input=signature.user_inputs[0],
    )


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards as it was."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


def outputs_of(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output tensors of a module in their order, out of tuples, lists and dictionaries."""
    return [leaf for leaf in _pytree.tree_leaves(model(x)) if isinstance(leaf, Tensor)]


def place(node: torch.fx.Node) -> tuple[str, str]:
    """Path and class name of the module that an operation belongs to; the path may be empty."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    if not stack:
        return "", ""
    path, kind = stack[-1]
    kind = kind if isinstance(kind, str) else kind.__name__
    return re.sub(r"@\d+", "", path), kind.rsplit(".", 1)[-1]


def _reason(model: nn.Module, error: Exception, channels: int, resolution: int) -> str:
    text = str(error)
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\w+)', text)
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append((code.co_filename, str(trace.tb_lineno), code.co_name))
        trace = trace.tb_next
    own = [f for f in frames if "/torch/" not in f[0] and not f[0].endswith("tracing/exported.py")]
    own = [f for f in own if not f[0].endswith("contextlib.py")]
    where = f" at {own[-1][0]}:{own[-1][1]}" if own else ""
    name = type(model).__name__
    if "data-dependent" in text:
        return (
            f"{name} cannot be traced{where}: its control flow depends on the values of a tensor; "
            "a network description has one fixed path"
        )
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return (
        f"{name} cannot be traced on a batch of {channels}×{resolution}×{resolution} images{where}:"
        f" {type(error).__name__}: {line}"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Export warns, logs and prints about what is reported here in one line."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.fx", "torch.export")]
    noisy = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    levels = [(logger, logger.level) for logger in (*loggers, noisy)]
    for logger, _ in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)
