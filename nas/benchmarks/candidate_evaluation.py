"""What scoring a candidate costs beyond running it, and what the search costs beyond scoring."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from nas.metrics import macs
from nas.optimizers import Candidate, Member, Problem, optimizer
from nas.search import Evaluation, SharedWeights, run_search
from nas.tasks.in_memory import InMemoryClassification
from search_spaces import Architecture, SearchSpace, space
from supernet import Supernet, extract


def run(
    *,
    images: int = 5000,
    resolution: int = 64,
    candidates: int = 3,
    repeats: int = 3,
    recalibration_images: int = 512,
    batch_size: int = 256,
    name: str = "mobilenet_v3",
    iterations: int = 4,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, Any]:
    """Time of evaluating candidates over the bare forward time of the same compact networks.

    The evaluation includes extraction from the super-network and recalibration; the bare time is
    the compact network alone on the same prepared images in batches of the same size. Both are
    the least of the repeats, which are taken alternately: whatever else a machine does only adds
    to a time. Images are random: they cost what others cost.

    Args:
        images: of the hold-out.
        resolution: in pixels.
        candidates: uniformly scaled and random networks that are timed.
        repeats: of every time.
        recalibration_images: training images for the batch statistics.
        batch_size: of the largest network.
        name: of the search space.
        iterations: of the search whose overhead is measured.
        device: where to evaluate.
        seed: of images, weights and networks.
    """
    found = space(name, resolution=resolution, classes=10)
    torch.manual_seed(seed)
    evaluator = SharedWeights(
        Supernet(found).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        _task(images, recalibration_images, resolution, found.classes, seed),
        recalibration_images=recalibration_images,
        batch_size=batch_size,
        device=torch.device(device),
    )
    source = random.Random(seed)
    scaled = [found.scaled(share) for share in (0.75, 0.5)]
    drawn = [found.random(source, low=0.25) for _ in range(max(0, candidates - 2))]
    rows = [_time(evaluator, found, a, repeats) for a in [*scaled, *drawn][:candidates]]
    overhead = _overhead(found, iterations, seed)
    evaluation = statistics.mean(row["evaluation_seconds"] for row in rows)
    return {
        "name": "candidate-evaluation",
        "value": max(row["ratio"] for row in rows),
        "unit": "evaluation time / bare forward time, the largest",
        "details": {
            "candidates": rows,
            "search_overhead_seconds_per_candidate": overhead,
            "search_overhead": overhead / evaluation,
            "images": images,
            "resolution": resolution,
            "recalibration_images": recalibration_images,
            "batch_size": batch_size,
            "space": name,
            "device": device,
            "threads": torch.get_num_threads(),
        },
    }


def _task(images: int, training: int, resolution: int, classes: int, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    count = images + training
    pixels = torch.randint(
        0, 256, (count, resolution, resolution, 3), dtype=torch.uint8, generator=generator
    )
    labels = torch.arange(count) % classes
    return InMemoryClassification(
        "synthetic",
        (pixels, labels),
        (pixels[:classes], labels[:classes]),
        labels=[str(i) for i in range(classes)],
        classes=classes,
        seed=seed,
        holdout=float(images),
        padding=0,
        flip=False,
    )


def _time(
    evaluator: SharedWeights, found: SearchSpace, architecture: Architecture, repeats: int
) -> dict[str, Any]:
    network = extract(evaluator.supernet, architecture).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = evaluator.batch_sizes.of(network.network)
    candidate = Candidate(0, 0, architecture)
    whole, bare = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        with torch.inference_mode():
            for images, _ in evaluator.holdout.batches(size):
                outputs = network(images)
        # the value of an output waits for an accelerator
        float(outputs.sum())
        bare.append(time.perf_counter() - started)
        whole.append(evaluator.evaluate(candidate).seconds)
    seconds, forward = min(whole), min(bare)
    return {
        "macs": network.network.macs,
        "batch_size": size,
        "evaluation_seconds": seconds,
        "forward_seconds": forward,
        "ratio": seconds / forward,
    }


class _Instant:
    """Scores without evaluating: what is left is the search itself."""

    score_name = "score"
    unit = ""
    higher_is_better = True

    def evaluate(self, candidate: Candidate) -> Evaluation:
        return Evaluation(candidate.metrics["macs"], 0.0, 0.0)

    def advance(self, winner: Member) -> None:
        return

    def describe(self) -> dict[str, Any]:
        return {"name": "instant"}


def _overhead(found: SearchSpace, iterations: int, seed: int) -> float:
    """Seconds per candidate that proposals and the record take."""
    metric = macs(found)
    budget = 0.7 * metric.of(found.describe(found.largest()))
    problem = Problem(found, (metric,), {"macs": budget}, seed)
    search = optimizer("mcd", problem, iterations=iterations)
    with tempfile.TemporaryDirectory() as folder:
        result = run_search(search, _Instant(), Path(folder))
    return result.seconds["search"] / (result.evaluations or 1)
