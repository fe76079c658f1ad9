"""The table of docs/results/tracing.md: ``python -m tests.nas.tracing.figures``."""

from __future__ import annotations

import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from nas.tracing import space_from_model
from nas.tracing.exported import outputs_of
from nas.tracing.pretrained import TIMM as PUBLISHED
from nas.tracing.pretrained import load_pretrained, timm_name
from search_spaces import space
from supernet import Assignment, CompactNetwork, Supernet, extract
from tests.nas.test_pretrained import timm_model
from tests.nas.tracing.test_networks import TIMM, counted, error, make, zero_dropped


@torch.no_grad()
def row(name: str) -> str:
    model, resolution = make(name, classes=1000)
    resolution = 224 if name in TIMM else resolution
    start = time.perf_counter()
    traced, weights = space_from_model(model, resolution, check=False)
    seconds = time.perf_counter() - start
    x = torch.randn(2, 3, resolution, resolution)
    original = outputs_of(model, x)
    largest = traced.describe(traced.largest())
    macs, params = counted(model, x)
    assert (largest.macs, largest.params) == (macs, params)
    rebuilt = CompactNetwork(largest).eval()
    rebuilt.load_state_dict(weights)
    whole = error(outputs_of(rebuilt, x), original)
    supernet = Supernet(traced).eval()
    supernet.load_state_dict(weights)
    to_masked = to_original = 0.0
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for seed in range(3):
        architecture = traced.random(random.Random(seed), low=0.4)
        compact = outputs_of(extract(supernet, architecture), x)
        masked = outputs_of(lambda x, a=architecture: supernet(x, Assignment((a,))), x)  # type: ignore[arg-type, misc]
        to_masked = max(to_masked, error(compact, masked))
        zero_dropped(model, weights, traced, architecture)
        to_original = max(to_original, error(compact, outputs_of(model, x)))
        model.load_state_dict(before)
    cells = (name, resolution, f"{macs:,}", f"{params:,}", len(traced.choices))
    errors = (f"{whole:.0e}", f"{to_masked:.0e}", f"{to_original:.0e}", f"{seconds:.1f}")
    return "| " + " | ".join(str(cell) for cell in (*cells, *errors)) + " |"


@torch.no_grad()
def published(name: str) -> str:
    ours = space(name)
    model = timm_model(timm_name(ours))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        save_file(model.state_dict(), file)
        weights = load_pretrained(ours, file)
    network = CompactNetwork(ours.describe(ours.largest())).eval()
    network.load_state_dict(weights)
    x = torch.randn(2, 3, 224, 224)
    return f"| {name} | {timm_name(ours)} | {error([network(x)], [model(x)]):.0e} |"


def main() -> None:
    print(
        "| network | px | MACs | parameters | width choices | rebuilt | sub-network: masked "
        "super-network | sub-network: masked original | s to trace |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in [*TIMM, "unet", "hand_written"]:
        print(row(name), flush=True)
    print("\n| reference network | timm's module | outputs |\n|---|---|---|")
    for name in PUBLISHED:
        print(published(name), flush=True)


if __name__ == "__main__":
    main()
