"""Scores after short fine-tuning: classic NetAdapt's evaluator, which carries its weights along."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch

from nas.optimizers.base import Candidate, Member
from nas.runs.folder import StepFolder
from nas.runs.weights import Preparation, load_network, save_network
from nas.search.evaluators.base import CandidateFailed, Evaluation
from nas.search.evaluators.holdout import BatchSize, Holdout, evaluation_of, score
from nas.search.evaluators.shared_weights import fingerprint
from nas.tasks.base import Batch, Task
from search_spaces import SearchSpace, UserError
from supernet import CompactNetwork, recalibrate
from supernet.pruning import reorder, shrink

EPOCHS = 1000
"""Epochs of data that belong to one iteration, so that every iteration sees other images."""


class FineTuning:
    """Shrink the last winner to a candidate, fine-tune it for a short while, score it.

    Filters are ranked anew by the L2 norm of the winner's weights (`channels`). All candidates of
    an iteration are trained on the same batches. Every candidate's weights are stored before its
    score is, and the winner's become ``weights/<iteration>.safetensors``: a member of the family
    can be fine-tuned further from there. Workers on other machines need the same folder.

    Args:
        network: pretrained; the largest network of ``space``.
        space: of the candidates.
        task: data, loss and score; the hold-out is not trained on.
        folder: of the search.
        steps: of fine-tuning; 500 in the official code.
        lr: learning rate, constant.
        momentum: of stochastic gradient descent.
        weight_decay: of all parameters.
        batch_size: of fine-tuning.
        recalibration_images: training images for the batch statistics before scoring; 0 scores
            with the running statistics.
        evaluation_batch_size: the most images at once for the largest network.
        device: where to train and evaluate.
        seed: of dropout.

    Raises:
        UserError: recalibration of a network without batch normalisation.
    """

    def __init__(
        self,
        network: CompactNetwork,
        space: SearchSpace,
        task: Task,
        folder: Path,
        *,
        steps: int,
        lr: float,
        momentum: float,
        weight_decay: float,
        batch_size: int,
        recalibration_images: int,
        evaluation_batch_size: int = 256,
        device: torch.device | None = None,
        seed: int = 0,
    ) -> None:
        norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        if recalibration_images and not norms:
            raise UserError(
                "recalibration_images is set, but the network has no batch normalisation: set it "
                "to 0"
            )
        self.score_name = task.score_name
        self.unit = task.unit
        self.higher_is_better = task.higher_is_better
        self.space = space
        self.task = task
        self.folder = StepFolder(folder)
        self.settings = {
            "steps": steps,
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "batch_size": batch_size,
            "recalibration_images": recalibration_images,
            "seed": seed,
        }
        self.steps, self.lr, self.momentum, self.weight_decay = steps, lr, momentum, weight_decay
        self.batch_size, self.seed = batch_size, seed
        self.device = device or torch.device("cpu")
        self.holdout = Holdout(task.holdout, self.device, 2 << 30)
        self.batch_sizes = BatchSize(space, evaluation_batch_size, self.device)
        self._calibration = [
            images.to(self.device)
            for images in (task.calibration(recalibration_images) if recalibration_images else ())
        ]
        self._weights = fingerprint(network)
        self._network: CompactNetwork | None = self._placed(network)
        self._iteration = 0
        """The iteration whose candidates start from the network in hand."""

    def evaluate(self, candidate: Candidate) -> Evaluation:
        """Score and loss after fine-tuning; the network before any iteration is only scored.

        Raises:
            CandidateFailed: fine-tuning diverged.
        """
        started = time.perf_counter()
        target = self.space.describe(candidate.architecture)
        network = shrink(self._current(), target)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if candidate.iteration > 0:
            self._train(network, candidate)
        if self._calibration:
            recalibrate(network, self._calibration)
        found = score(network, self.task, self.holdout, self.batch_sizes.of(target))
        save_network(
            self.folder.candidate(candidate.iteration, candidate.slot),
            network,
            candidate.architecture,
            Preparation.of(self.task),
        )
        return evaluation_of(found, time.perf_counter() - started)

    def advance(self, winner: Member) -> None:
        """Keep the winner's weights and drop the other candidates' of its iteration."""
        kept = self.folder.winner(winner.iteration)
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.folder.candidate(winner.iteration, winner.slot).replace(kept)
            except FileNotFoundError:
                # another worker was first, or this one sees another folder
                if not kept.exists():
                    raise UserError(
                        f"{kept}: the winner's weights are missing; every worker of a search with "
                        "fine-tuning needs the search's folder"
                    ) from None
        shutil.rmtree(self.folder.candidate(winner.iteration, 0).parent, ignore_errors=True)
        self._iteration = winner.iteration + 1
        self._network = None

    def describe(self) -> dict[str, Any]:
        """Task, pretrained weights and settings of the fine-tuning."""
        return {
            "name": "fine_tuning",
            "task": self.task.describe(),
            "weights": self._weights,
            **self.settings,
        }

    def _current(self) -> CompactNetwork:
        """The last winner, its channels sorted."""
        if self._network is None:
            stored = load_network(self.folder.winner(self._iteration - 1))
            self._network = self._placed(stored.module)
        return self._network

    def _placed(self, network: CompactNetwork) -> CompactNetwork:
        network = network.to(self.device)
        reorder(network, self.space)
        return network

    def _train(self, network: CompactNetwork, candidate: Candidate) -> None:
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        torch.manual_seed(
            (self.seed * 1_000_003 + candidate.iteration) * 1_000_003 + candidate.slot
        )
        network.train()
        batches = self._batches(candidate.iteration)
        for step in range(self.steps):
            images, targets = next(batches)
            outputs = network(images.to(self.device))
            loss = self.task.loss(outputs, targets.to(self.device))
            if not torch.isfinite(loss):
                raise CandidateFailed(f"fine-tuning diverged at step {step + 1} (loss {loss})")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def _batches(self, iteration: int) -> Iterator[Batch]:
        for epoch in count(iteration * EPOCHS):
            empty = True
            for batch in self.task.train_batches(epoch, self.batch_size):
                empty = False
                yield batch
            if empty:
                raise UserError(
                    f"batch_size = {self.batch_size} is larger than the "
                    f"{self.task.train_images} training images"
                )
