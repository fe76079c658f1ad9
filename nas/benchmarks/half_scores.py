"""A trained super-network as an oracle: half of the hold-out is searched on, the other judges."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from nas.files import write_text
from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.runs.folder import RunFolder
from nas.runs.weights import load_supernet
from nas.search.evaluators.holdout import BatchSize, Holdout
from nas.search.evaluators.shared_weights import fingerprint
from search_spaces import UserError
from search_spaces.batch import Matrix, Vector
from supernet import extract, recalibrate

CACHE_BYTES = 2 << 30


class HalfScores:
    """Every network's scores on the even and on the odd images of the hold-out.

    Both come of one forward pass after recalibration, and are kept in the run's folder, so that
    no network is evaluated twice, in whatever search or run of the benchmark.

    Args:
        run: a run folder with a trained super-network.

    Raises:
        UserError: there is none, or the score of its task is one where less is better.
    """

    def __init__(self, run: Path) -> None:
        folder = RunFolder(run)
        if not folder.supernet.config.is_file():
            raise UserError(f"{run}: holds no trained super-network; run nas train-supernet first")
        experiment = load_experiment(str(folder.supernet.config), [])
        self.space = experiment.search_space()
        self._task = open_task(experiment)
        if not self._task.higher_is_better:
            raise UserError(f"{run}: {self._task.score_name} is better where it is less: not here")
        self._supernet = load_supernet(folder.supernet.path, expected=self.space, task=self._task)
        self._supernet.eval()
        device = torch.device("cpu")
        self._calibration = self._task.calibration(experiment.search.recalibration_images)
        self._holdout = Holdout(self._task.holdout, device, CACHE_BYTES)
        self._sizes = BatchSize(self.space, experiment.search.batch_size, device)
        identity = self._identity(experiment.search.recalibration_images)
        self._file = run / "benchmark" / f"half-scores-{identity}.jsonl"
        self._known = self._read()

    def both(self, rows: Matrix) -> Vector:
        """Scores on the two halves; shape (rows, 2)."""
        return np.array([self._of(row) for row in rows]).reshape(-1, 2)

    def _of(self, row: Matrix) -> tuple[float, float]:
        key = tuple(row.tolist())
        if key not in self._known:
            self._known[key] = self._evaluate(dict(zip(self.space.choices, key, strict=True)))
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as out:
                out.write(json.dumps([key, self._known[key]]) + "\n")
        return self._known[key]

    def _evaluate(self, values: dict[str, int]) -> tuple[float, float]:
        even, odd = self._task.meter("holdout"), self._task.meter("holdout")
        with torch.inference_mode():
            network = extract(self._supernet, self.space.architecture(values))
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            recalibrate(network, self._calibration)
            network.eval()
            seen = 0
            for images, targets in self._holdout.batches(self._sizes.of(network.network)):
                outputs = network(images)
                for half, meter in enumerate((even, odd)):
                    chosen = torch.arange((seen + half) % 2, len(targets), 2)
                    if len(chosen):
                        meter.update(outputs[chosen], targets[chosen])
                seen += len(targets)
        return even.evaluation().score.value, odd.evaluation().score.value

    def _identity(self, recalibration_images: int) -> str:
        """A hash of everything that decides a score beside the network."""
        facts = [fingerprint(self._supernet), recalibration_images, self._task.describe()]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _read(self) -> dict[tuple[int, ...], tuple[float, float]]:
        known: dict[tuple[int, ...], tuple[float, float]] = {}
        if not self._file.is_file():
            return known
        text = self._file.read_text()
        # a run that was killed may have left a part of a line
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_text(self._file, whole)
        for line in whole.splitlines():
            key, (even, odd) = json.loads(line)
            known[tuple(key)] = (even, odd)
        return known
