"""The figures of docs/results/exactness.md: ``python -m tests.supernet.figures``."""

from __future__ import annotations

import random

import torch

from supernet import Supernet
from tests.supernet.exactness import forward_error, gradient_error, randomise
from tests.supernet.test_exactness import SPACES


def main() -> None:
    """Print a Markdown table: the largest errors over random architectures of every space."""
    torch.manual_seed(0)
    print("| space | precision | outputs | gradient, frozen | gradient, own statistics |")
    print("|---|---|---|---|---|")
    for name, of in SPACES.items():
        for dtype in (torch.float32, torch.float64):
            source = random.Random(11)
            worst = [0.0, 0.0, 0.0]
            for _ in range(3):
                chosen = [of.random(source) for _ in range(2)] + [of.largest(), of.smallest()]
                supernet = randomise(Supernet(of).to(dtype))
                x = torch.randn(4 * len(chosen), *of.input_shape, dtype=dtype)
                with torch.no_grad():
                    shape = supernet(x[:2]).shape[1:]
                target = torch.randn(len(x), *shape, dtype=dtype)
                found = [forward_error(supernet, chosen, x)]
                found.append(gradient_error(supernet.eval(), chosen, x, target))
                found.append(gradient_error(supernet.train(), chosen, x, target))
                worst = [max(a, b) for a, b in zip(worst, found, strict=True)]
            kind = str(dtype).removeprefix("torch.")
            print(f"| {name} | {kind} | " + " | ".join(f"{w:.1e}" for w in worst) + " |")


if __name__ == "__main__":
    main()
