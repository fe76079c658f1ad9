"""The score of a user's own, batch by batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nas.tasks.base import SplitScores
from nas.tasks.own.parts import Loss, Metric, Outputs, brief, is_metric
from nas.tasks.score import Score
from search_spaces import UserError
from search_spaces.errors import in_a_line

MAIN = ""
"""What a figure is called that has no name of its own."""


class Figures:
    """The figures of one split, gathered as the user's ``score`` asks for it.

    Args:
        score: a function that gives a value an item, or a metric.
        where: stands in errors.
    """

    def __init__(self, score: Callable[..., Any] | Metric, where: str) -> None:
        self.where = where
        self._metric: Any = None
        self._function: Any = score
        self._sums: dict[str, float] = {}
        self._items = 0
        if is_metric(score):
            self._metric = copy.deepcopy(score)
            if hasattr(self._metric, "reset"):
                self._metric.reset()

    def update(self, outputs: Outputs, targets: Tensor) -> None:
        """Count one batch.

        Raises:
            UserError: the user's code raises, or returns something else.
        """
        self._items += len(targets)
        if self._metric is not None:
            if hasattr(self._metric, "to"):
                self._metric = self._metric.to(targets.device)
            called(f"{self.where}.update", self._metric.update, outputs, targets)
            return
        found = called(self.where, self._function, outputs, targets)
        for name, values in _named(found).items():
            if not isinstance(values, Tensor) or values.shape != (len(targets),):
                raise UserError(
                    f"{self.where} returned {brief(values)}, expected a tensor "
                    f"({len(targets)},): a value an item; a figure of a whole split is an object "
                    "with update and compute"
                )
            self._sums[name] = self._sums.get(name, 0.0) + float(values.double().sum())

    def values(self) -> dict[str, float]:
        """Name → figure; the first is the score.

        Raises:
            UserError: as `update`.
        """
        if self._metric is None:
            return {name: total / self._items for name, total in self._sums.items()}
        found = _named(called(f"{self.where}.compute", self._metric.compute))
        try:
            return {str(name): float(value) for name, value in found.items()}
        except (TypeError, ValueError, RuntimeError):
            raise UserError(
                f"{self.where}.compute returned {brief(next(iter(found.values())))}, expected a "
                "number or a dict of numbers"
            ) from None


def _named(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) and found else {MAIN: found}


class OwnMeter:
    """Gathers the user's figures and the mean loss.

    Args:
        split: its name.
        figures: an empty gatherer.
        loss: of a batch.
        score: name, unit and direction of the score.
        beside: the figure that has a curve of its own.
    """

    def __init__(
        self, split: str, figures: Figures, loss: Loss, score: Score, beside: str = ""
    ) -> None:
        self.split = split
        self._figures = figures
        self._loss = loss
        self._score = score
        self._beside = beside
        self._sum = 0.0
        self._images = 0

    def update(self, outputs: Outputs, targets: Tensor) -> None:
        """Count one batch."""
        outputs = as_float(outputs)
        self._figures.update(outputs, targets)
        self._sum += float(self._loss(outputs, targets)) * len(targets)
        self._images += len(targets)

    def evaluation(self) -> SplitScores:
        if not self._images:
            raise UserError(f"the {self.split} split has no items")
        values = self._figures.values()
        _, value = next(iter(values.items()))
        own = self._score
        score = Score(own.name, value, own.unit, own.higher_is_better, self.split)
        details = dict(list(values.items())[1:])
        second = None
        if self._beside in details:
            second = replace(score, name=self._beside, value=details[self._beside])
        return SplitScores(score, self._sum / self._images, self._images, details, second)


def as_float(outputs: Outputs) -> Outputs:
    """Outputs in float32, whatever the forward pass computed in."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    return tuple(output.float() for output in outputs)


def called(where: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the user's function returns.

    Raises:
        UserError: it raises; the message says what it was given.
    """
    try:
        return function(*arguments)
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = in_a_line(error)
        given = ", ".join(told(a) for a in arguments)
        of = f" for {given}" if given else ""
        raise UserError(f"{where} raised {type(error).__name__}: {said}{of}") from error


def told(value: Any) -> str:
    """Shape, type and range of a tensor or of each of a tuple."""
    if isinstance(value, tuple):
        return f"({', '.join(told(v) for v in value)})"
    if not isinstance(value, Tensor) or not value.numel():
        return brief(value)
    low, high = (float(v) for v in value.detach().aminmax())
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')} {low:.4g}…{high:.4g}"
