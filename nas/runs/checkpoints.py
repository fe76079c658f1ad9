"""Checkpoints and weights: one safetensors file, its header holding everything that is no tensor.

One file, replaced by a rename, is either the old or the new one, whenever the process dies.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nas.files import replacing
from search_spaces import UserError
from search_spaces.errors import in_a_line

CHECKPOINT_SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and whatever JSON can hold; ``kind`` says what wrote it."""

    kind: str
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def section(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below ``prefix/``, their names without it."""
        start = len(prefix) + 1
        return {k[start:]: v for k, v in self.tensors.items() if k.startswith(f"{prefix}/")}


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace ``path`` atomically; when this fails the file that was there stays as it was.

    Raises:
        UserError: the disk is full.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in checkpoint.tensors.items()}
    header = {
        "format": "pt",
        "schema": str(CHECKPOINT_SCHEMA),
        "kind": checkpoint.kind,
        "state": json.dumps(checkpoint.state),
    }
    data = safetensors.torch.save(tensors, metadata=header)
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        kept = "; the one written before is whole" if path.exists() else ""
        raise UserError(
            f"{path}: the disk is full{kept}; free space, then repeat the command with --resume"
        ) from None


def load(path: Path, *kinds: str) -> Checkpoint:
    """Read a file that `save` wrote; ``kinds`` are those that the caller can use.

    Raises:
        UserError: missing, truncated, of another kind or of another program.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a safetensors file, or truncated ({error})") from None
    if header.get("schema") != str(CHECKPOINT_SCHEMA) or "state" not in header:
        raise UserError(f"{path}: a safetensors file, but none of ours (schema missing)")
    if header.get("kind") not in kinds:
        raise UserError(f"{path}: holds a {header.get('kind')}, expected a {' or a '.join(kinds)}")
    try:
        state = json.loads(header["state"])
        return Checkpoint(header["kind"], tensors, dict(state))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: was edited or is damaged ({error!r})") from None


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Copy tensors into a module, keeping its memory layout.

    Raises:
        UserError: names or shapes differ; the first difference is named.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in tensors]
    extra = [name for name in tensors if name not in own]
    wrong = [n for n in own if n in tensors and own[n].shape != tensors[n].shape]
    if missing or extra or wrong:
        first = (
            f"{wrong[0]} is {list(tensors[wrong[0]].shape)} in the file, "
            f"{list(own[wrong[0]].shape)} here"
            if wrong
            else f"{(missing or extra)[0]} is {'missing from' if missing else 'only in'} the file"
        )
        count = len(missing) + len(extra) + len(wrong)
        raise UserError(f"{where}: weights of another network; {count} tensors differ, {first}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Refuse a file whose state is not what was written, in errors of its reader's.

    Raises:
        UserError: names the file and what is wrong.
    """
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}: {in_a_line(error)})") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors (``parameter/name``) and JSON values."""
    data = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, state in data["state"].items():
        for name, value in state.items():
            (tensors if isinstance(value, Tensor) else values)[f"{index}/{name}"] = value
    return tensors, {"values": values, "groups": data["param_groups"]}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """The inverse of `optimizer_tensors`, each tensor in the memory layout of its parameter."""
    state: dict[int, dict[str, Any]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in {**values["values"], **tensors}.items():
        index, _, name = key.partition("/")
        like = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == like.shape:
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    restored = [{**own, **stored} for own, stored in zip(groups, values["groups"], strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": restored})
