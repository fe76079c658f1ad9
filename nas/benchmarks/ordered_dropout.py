"""What ordered dropout costs: its training step over a plain one, taken in turn."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nas.benchmarks.supernet_quality import synchronise
from nas.recipe.experiment import Named
from nas.recipe.strategies import open_strategy
from nas.training.device import autocast
from search_spaces import SearchSpace, UserError, space
from supernet import Assignment, CompactNetwork, Supernet
from supernet.strategies import OrderedDropout

Step = Callable[[], Tensor]
"""A forward pass that returns the loss to differentiate."""


def run(
    space_name: str = "mobilenet_v3",
    resolution: int = 64,
    batch_size: int = 64,
    repeats: int = 15,
    threads: int | None = None,
    bfloat16: bool = False,
    strategy: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Time one ordered-dropout step over one plain step of the largest network, same batch.

    The plain step is a module without any mask. Every variant is run in each round, in an order
    drawn anew, so that noise of the machine meets them alike; a ratio is the median over the
    rounds of the ratios within a round, and that of the plain step to itself says how much of
    it is noise. The value is the shipped default, mixed kernels included.

    Args:
        space_name: the search space.
        resolution: height and width in pixels.
        batch_size: images per step.
        repeats: rounds.
        threads: CPU threads; None leaves torch's default.
        bfloat16: run the forward pass in bfloat16.
        strategy: settings of the ordered-dropout strategy that differ from its defaults.

    Raises:
        UserError: the batch is not a multiple of the strategy's groups, a setting that it does
            not have, or a space whose outputs are no classes.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    default = open_strategy(Named(name="ordered_dropout", settings=strategy or {}))
    assert isinstance(default, OrderedDropout)
    of = space(space_name, resolution=resolution, classes=1000)
    if [of.largest_shapes[name] for name in of.outputs] != [(1000, 1, 1)]:
        raise UserError(f"ordered-dropout is timed on classes; space {of.name} has none")
    groups = batch_size if default.groups == "image" else default.groups
    if batch_size % groups:
        raise UserError(f"a batch of {batch_size} images is not a multiple of {groups} groups")
    supernet = Supernet(of)
    plain = CompactNetwork(of.describe(of.largest()))
    for module in (supernet, plain):
        module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, *of.input_shape, generator=generator)
    images = images.to(device).to(memory_format=torch.channels_last)
    targets = torch.randint(0, 1000, (batch_size,), generator=generator).to(device)
    source = random.Random(0)
    precision = "bfloat16" if bfloat16 else "float32"

    def step(module: nn.Module, *arguments: Assignment) -> Tensor:
        with autocast(device, precision):
            outputs = module(images, *arguments)
        return nn.functional.cross_entropy(outputs.float(), targets)

    def drawn(strategy: OrderedDropout) -> Tensor:
        with autocast(device, precision):
            outputs, wanted, _ = next(strategy.passes(supernet, images, targets, 1.0, source))
        return nn.functional.cross_entropy(outputs.float(), wanted)

    variants: dict[str, Step] = {
        "plain": lambda: step(plain),
        "plain, again": lambda: step(plain),
        "default, kernels mixed": lambda: drawn(replace(default, kernels="mixed")),
        "default, kernels at their largest": lambda: drawn(replace(default, kernels="largest")),
        "own statistics alone": lambda: step(supernet, Assignment((of.largest(),) * groups)),
        "masks alone": lambda: step(supernet, _masks_alone(supernet, batch_size, source)),
        "kernels alone": lambda: step(supernet, _kernels_alone(of, default, source, groups)),
    }
    taken = _measure(variants, (supernet, plain), repeats, device, source)
    ratios = {
        name: statistics.median(a / b for a, b in zip(times, taken["plain"], strict=True))
        for name, times in taken.items()
    }
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return {
        "name": "ordered-dropout",
        "value": ratios["default, kernels mixed"],
        "unit": "times a plain training step",
        "details": {
            "ratios": ratios,
            "seconds": medians,
            "space": of.name,
            "resolution": resolution,
            "batch_size": batch_size,
            "groups": groups,
            "repeats": repeats,
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "precision": precision,
        },
    }


def _measure(
    variants: dict[str, Step],
    modules: tuple[nn.Module, ...],
    repeats: int,
    device: torch.device,
    source: random.Random,
) -> dict[str, list[float]]:
    """Seconds of every variant in every round, after two rounds of warming up."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(repeats + 2):
        for name in source.sample(list(variants), len(variants)):
            for module in modules:
                module.zero_grad(set_to_none=True)
            synchronise(device)
            started = time.perf_counter()
            variants[name]().backward()  # type: ignore[no-untyped-call]
            synchronise(device)
            if repeat >= 2:
                taken[name].append(time.perf_counter() - started)
    return taken


def _masks_alone(supernet: Supernet, images: int, source: random.Random) -> Assignment:
    drawing = OrderedDropout(groups="image", statistics="shared", kernels="largest", widen=0.0)
    return drawing.assignment(supernet, images, 1.0, source)


def _kernels_alone(
    of: SearchSpace, default: OrderedDropout, source: random.Random, groups: int
) -> Assignment:
    from supernet.strategies.drawing import in_runs

    full = {c.name: c.largest for c in of.choices.values()}
    kernels = [c for c in of.choices.values() if c.kind == "kernel"]
    drawn = [{**full, **{c.name: source.choice(c.values) for c in kernels}} for _ in range(groups)]
    return Assignment(tuple(in_runs(of, drawn, source)), "shared")
