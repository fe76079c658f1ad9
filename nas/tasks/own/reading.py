"""Items of a user's data set as batches, the same whenever and by whomever they are read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.tasks.own.parts import Items, brief
from search_spaces import UserError
from search_spaces.errors import in_a_line
from search_spaces.operation import Shape

Key = tuple[int, int]
"""Number of an item and the seed of its random numbers."""


@dataclass(frozen=True)
class Source:
    """The training or the test items.

    ``task`` and ``field`` stand in errors; ``length`` is what it was when the task was opened;
    ``shape`` is the network's input, ``target`` shape and type of every target.
    """

    task: str
    field: str
    items: Items
    length: int
    shape: Shape
    target: tuple[tuple[int, ...], torch.dtype]

    @classmethod
    def opened(cls, task: str, field: str, items: Items, shape: Shape) -> Source:
        """The items, seen to be what a network of this input can read.

        Raises:
            UserError: the first of them is not.
        """
        unknown = cls(task, field, items, len(items), shape, ((), torch.float32))
        _, target = unknown.item((0, 0), None, checked=False)
        return cls(task, field, items, len(items), shape, (tuple(target.shape), target.dtype))

    def check_length(self) -> None:
        """Refuse a data set that has changed since it was opened.

        Raises:
            UserError: it has.
        """
        if len(self.items) != self.length:
            raise UserError(
                f"task {self.task}: {self.field} has {len(self.items)} items, it had "
                f"{self.length} when the task was opened; a data set must keep its length"
            )

    def item(
        self, key: Key, augment: Callable[..., Any] | None, *, checked: bool = True
    ) -> tuple[Tensor, Tensor]:
        """One item.

        Args:
            key: its number, and the seed of random numbers that reading it uses.
            augment: changes it.
            checked: the target has the shape and type of the others.

        Raises:
            UserError: it cannot be read, or it is no input and target of the right shapes.
        """
        index, seed = key
        where = f"task {self.task}: {self.field}[{index}]"
        with seeded(seed):
            pair = self._called(where, self.items.__getitem__, index)
            first, second = self._pair(pair, where)
            if augment is not None:
                changed = self._called(f"{where}: augment", augment, first, second)
                first, second = self._pair(changed, f"{where}: augment")
        if checked and (tuple(second.shape), second.dtype) != self.target:
            there = torch.empty(self.target[0], dtype=self.target[1])
            raise UserError(
                f"{where}: its target is {brief(second)}, that of the first item {brief(there)}; "
                "all need one shape and type (pad them)"
            )
        return first, second

    def _called(self, where: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UserError:
            raise
        except Exception as error:
            self.check_length()
            said = in_a_line(error)
            raise UserError(f"{where} raised {type(error).__name__}: {said}") from error

    def _pair(self, pair: Any, where: str) -> tuple[Tensor, Tensor]:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise UserError(f"{where} is {brief(pair)}, expected (input, target)")
        wanted = f"expected a tensor {self.shape} float32 or uint8"
        given = torch.from_numpy(pair[0]) if isinstance(pair[0], np.ndarray) else pair[0]
        fits = isinstance(given, Tensor) and given.dtype in (torch.float32, torch.uint8)
        if not fits or tuple(given.shape) != self.shape:
            raise UserError(f"{where}: its input is {brief(pair[0])}, {wanted}")
        try:
            target = torch.as_tensor(pair[1])
        except (TypeError, ValueError, RuntimeError):
            raise UserError(
                f"{where}: its target is {brief(pair[1])}, expected a number, a tensor or an array"
            ) from None
        # numbers of Python and numpy are float64, which no network computes in
        return given, target.float() if target.dtype == torch.float64 else target


@dataclass
class _Reading(Dataset[Any]):
    """Reads items by key; a fault comes back as its message, since a worker's would be a trace."""

    source: Source
    augment: Callable[..., Any] | None

    def __getitem__(self, key: Any) -> tuple[Tensor, Tensor] | str:
        try:
            return self.source.item(key, self.augment)
        except UserError as error:
            return str(error)


def _joined(items: Sequence[tuple[Tensor, Tensor] | str]) -> tuple[Tensor, Tensor] | str:
    for item in items:
        if isinstance(item, str):
            return item
    inputs, targets = zip(*items, strict=True)
    if len({part.dtype for part in inputs}) > 1:
        return "some inputs are uint8, others float32"
    return torch.stack(inputs), torch.stack(targets)


def read(
    source: Source,
    batches: Sequence[Sequence[Key]],
    *,
    augment: Callable[..., Any] | None = None,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of items: inputs (N, C, H, W) as the data set has them, and targets (N, …).

    Raises:
        UserError: an item cannot be read or does not fit, or the data set has changed its length.
    """
    source.check_length()
    loader: Any = DataLoader(
        _Reading(source, augment),
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=min(workers, len(batches)),
        collate_fn=_joined,
        generator=torch.Generator(),  # it would draw a number from torch's own
    )
    for batch in loader:
        if isinstance(batch, str):
            raise UserError(batch)
        yield batch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of Python, numpy and torch from a seed; afterwards they go on as before."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every accelerator too
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
