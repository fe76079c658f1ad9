"""Which of other people's networks the trace describes, and whether exactly."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.progress import SILENT, Reporter
from nas.tracing import space_from_model
from nas.tracing.exported import outputs_of
from search_spaces import SearchSpace, UserError
from supernet import Assignment, CompactNetwork, Supernet, extract

TOLERANCE = 1e-4
"""Largest difference of outputs, as a share of the largest output."""


COLUMNS = ["network", "result", "px", "choices", "rebuilt", "extracted", "seconds", "reason"]


def run(
    networks: str = "",
    family: str = "",
    resolution: int = 128,
    out: str = "",
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Which networks of torchvision and timm the trace describes, and whether exactly.

    Random weights; a network that needs 224 px gets them. Compared are the rebuilt network with
    the original, and a random sub-network masked with the same one extracted.

    Args:
        networks: a CSV file whose column ``network`` names them (``tv:NAME``, ``timm:NAME``), or
            the names themselves, separated by commas.
        family: only names that hold this text.
        resolution: of the images in pixels.
        out: a CSV file that every row is added to as soon as it is known.
        seed: of weights, images and sub-networks.
        reporter: says what was found.

    Raises:
        UserError: there is no network to trace.
    """
    names = [name for name in _names(networks) if family in name]
    if not names:
        raise UserError("no network to trace: give --option networks=FILE.csv or tv:NAME,timm:NAME")
    rows = []
    for name in names:
        rows.append({"network": name, **measured(name, resolution, seed)})
        reporter.say(f"{name}: {rows[-1]['result']} {rows[-1]['reason']}"[:200])
        if out:
            _append(Path(out), rows[-1])
    described = sum(row["result"] == "described" for row in rows)
    return {
        "name": "trace",
        "value": described / len(rows),
        "unit": "share of networks described exactly",
        "details": {"described": described, "networks": len(rows), "rows": rows},
    }


def measured(name: str, resolution: int, seed: int) -> dict[str, Any]:
    """``result`` (described, inexact, refused, absent), the differences, and the reason."""
    started = time.perf_counter()
    row: dict[str, Any] = {"result": "refused", "px": resolution, "choices": 0}
    row |= {"rebuilt": None, "extracted": None, "reason": ""}
    try:
        model = _made(name, seed)
    except (UserError, ImportError) as error:
        return {**row, "result": "absent", "reason": str(error).splitlines()[0]}
    for size in dict.fromkeys((resolution, 224)):
        try:
            space, weights = space_from_model(model, size, check=False)
        except UserError as error:
            row["reason"] = row["reason"] or str(error)
            continue
        row |= {"px": size, "choices": len(space.choices), "reason": ""}
        row |= _differences(model, space, weights, seed)
        exact = max(row["rebuilt"], row["extracted"]) <= TOLERANCE
        row["result"] = "described" if exact else "inexact"
        break
    return {**row, "seconds": round(time.perf_counter() - started, 1)}


@torch.no_grad()
def _differences(
    model: nn.Module, space: SearchSpace, weights: dict[str, Tensor], seed: int
) -> dict[str, float]:
    x = torch.randn(2, *space.input_shape, generator=torch.Generator().manual_seed(seed))
    model.train()(x)
    model.eval()
    rebuilt = CompactNetwork(space.describe(space.largest()), initial=False).eval()
    rebuilt.load_state_dict(weights)
    first = _error(outputs_of(rebuilt, x), outputs_of(model, x))
    del rebuilt
    supernet = Supernet(space).eval()
    supernet.load_state_dict(weights)
    architecture = space.random(random.Random(seed), low=0.4)
    compact = outputs_of(extract(supernet, architecture), x)
    masked = supernet(x, Assignment((architecture,)))
    second = _error(compact, list(masked) if isinstance(masked, tuple) else [masked])
    return {"rebuilt": first, "extracted": second}


def _error(got: list[Tensor], expected: list[Tensor]) -> float:
    return max(
        float((a.reshape(b.shape) - b).abs().max() / b.abs().max().clamp_min(1e-30))
        for a, b in zip(got, expected, strict=True)
    )


def _made(name: str, seed: int) -> nn.Module:
    """The model with random weights, its running statistics still to be taken."""
    import nas.vision  # noqa: F401, I001  (makes torchvision and timm importable)
    import torchvision

    from nas.tracing import load_model

    torch.manual_seed(seed)
    library, _, short = name.partition(":")
    if library == "tv":
        models = torchvision.models
        arguments = {"weights": None} | (
            {"weights_backbone": None} if short in models.list_models(models.segmentation) else {}
        )
        try:
            model: nn.Module = models.get_model(short, **arguments)
        except ValueError as error:
            raise UserError(f"torchvision has no {short}: {error}") from None
    else:
        model = load_model(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.momentum = None  # so statistics are those of the images, and no signal dies
    return model


def _names(networks: str) -> list[str]:
    if not networks.endswith(".csv"):
        return [name for name in networks.split(",") if name]
    try:
        with Path(networks).open(newline="") as file:
            return [row["network"] for row in csv.DictReader(file)]
    except (OSError, KeyError) as error:
        raise UserError(f"{networks}: no table with a column 'network' ({error})") from None


def _append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)
