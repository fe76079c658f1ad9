"""SIGKILL at random moments of every step, then ``--resume``: is the result the same?"""

from __future__ import annotations

import multiprocessing
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils.tensorboard

import nas.steps  # noqa: F401  imported before processes are forked
from nas.progress import SILENT, Reporter
from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.runs import checkpoints as checkpoint
from nas.runs.folder import StepFolder
from nas.runs.results import load_any
from nas.search.database import sqlite_url
from nas.search.record import Record

SETTINGS = {
    "threads": "1",
    "space.settings.multiplier": "0.5",
    "supernet.epochs": "3",
    "supernet.steps_per_epoch": "4",
    "supernet.probe_epochs": "1",
    "supernet.probes": "0",
    "supernet.checkpoint_seconds": "0.1",
    "search.metric": "macs",
    "search.recalibration_images": "64",
    "search.optimizers.guided.iterations": "3",
    "search.optimizers.guided.samples": "4",
    "train.epochs": "3",
    "train.steps_per_epoch": "4",
    "train.dropout": "0.2",
    "train.ema": "0.9",
    "train.checkpoint_seconds": "0.1",
}

STEPS = {
    "train-supernet": ("supernet", "supernet"),
    "search": ("search/main", ""),
    "train": ("train/discovered", "network"),
}
"""Command → its folder and the kind of its weights."""


def run(
    kills: int = 20,
    experiment: str = "digits_quickstart",
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Share of killed and resumed runs that equal the uninterrupted one, bit for bit on a CPU.

    Each run is a process of its own that is killed once, at a moment drawn uniformly from the
    time that the uninterrupted one took, and then goes on in another process.

    Args:
        kills: per step.
        experiment: the recipe; it is made small, see ``SETTINGS``.
        seed: of the moments.
        reporter: shows progress.
    """
    moments = random.Random(seed)
    details: dict[str, Any] = {}
    open_task(load_experiment(experiment))  # its imports too come before the fork
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    with (
        tempfile.TemporaryDirectory() as temporary,
        reporter.work("killed runs", kills * len(STEPS)) as bar,
    ):
        whole = Path(temporary) / "whole"
        for step, (folder, _) in STEPS.items():
            arguments = [step, experiment, *settings]
            started = time.perf_counter()
            _finish([*arguments, f"--out={whole}"])
            seconds = time.perf_counter() - started
            expected = _outcome(whole, step)
            times: list[float] = []
            stored: list[bool] = []
            equal = early = 0
            while len(times) < kills:
                killed = Path(temporary) / "killed"
                shutil.rmtree(killed, ignore_errors=True)
                # what the step starts from
                shutil.copytree(whole, killed, ignore=_but(whole / folder))
                moment = moments.uniform(0, seconds)
                if not _kill([*arguments, f"--out={killed}"], moment):
                    early += 1  # it was faster than the uninterrupted run
                    continue
                times.append(moment)
                stored.append(
                    any(f.suffix in (".safetensors", ".db") for f in (killed / folder).rglob("*"))
                )
                _finish([*arguments, f"--out={killed}", "--resume"])
                equal += _outcome(killed, step) == expected
                bar.advance()
            details[step] = {
                "kills": kills,
                "equal": equal,
                "something_was_stored": sum(stored),
                "seconds_uninterrupted": seconds,
                "first_kill": min(times),
                "last_kill": max(times),
                "finished_before_the_kill": early,
            }
    total = kills * len(STEPS)
    share = sum(d["equal"] for d in details.values()) / total if total else 1.0
    return {"name": "resume", "value": share, "unit": "share equal", "details": details}


def _but(folder: Path) -> Any:
    """Leave out this folder."""

    def ignore(where: str, names: Sequence[str]) -> list[str]:
        return [name for name in names if Path(where) / name == folder]

    return ignore


def _start(arguments: Sequence[str]) -> multiprocessing.process.BaseProcess:
    def command() -> None:
        torch.set_num_threads(1)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = sys.stdout
        # as ``python -m nas`` does: the command line is above the benchmarks
        sys.argv = ["nas", *arguments]
        try:
            runpy.run_module("nas", run_name="__main__")
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=command)
    process.start()
    return process


def _finish(arguments: Sequence[str]) -> None:
    process = _start(arguments)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"nas {' '.join(arguments)} ended with {process.exitcode}")


def _kill(arguments: Sequence[str], moment: float) -> bool:
    """True where the process was killed before it was done."""
    process = _start(arguments)
    process.join(moment)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _outcome(out: Path, step: str) -> dict[str, Any]:
    """What must be equal: weights and histories, or family and every trial's values."""
    folder, kind = STEPS[step]
    at = StepFolder(out / folder)
    result = load_any(at.result).to_dict()
    if kind:
        stored = checkpoint.load(at.weights, kind)
        weights = {name: t.numpy().tobytes() for name, t in stored.tensors.items()}
        return {"weights": weights, **{k: result[k] for k in ("scores", "history", "updates")}}
    record = Record.open(sqlite_url(at.study), "main")
    slots = [
        (s.iteration, s.slot, s.choices, s.score, s.loss)
        for i in range(len(result["family"]) + 1)
        for s in record.slots(i).values()
    ]
    return {
        "family": [(e["architecture"], e["metrics"], e["score"]) for e in result["family"]],
        "slots": sorted(slots, key=lambda s: s[:2]),
    }
