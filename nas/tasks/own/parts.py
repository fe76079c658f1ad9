"""What a user gives for a task of their own, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from search_spaces import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Outputs = Any
"""What the network returns: (N, C), or (N, C, H, W); a tuple of those where it has several."""


class Items(Protocol):
    """A data set as PyTorch has them: ``Dataset`` with a length, a list, whatever is indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Metric(Protocol):
    """A figure of a whole split, as torchmetrics has them."""

    def update(self, outputs: Outputs, targets: Tensor) -> None:
        """Count one batch."""
        ...

    def compute(self) -> Any:
        """The figure of everything counted, or a dict of figures."""
        ...


Loss = Callable[[Outputs, Tensor], Tensor]
ScoreFunction = Callable[[Outputs, Tensor], Any]


@dataclass(frozen=True)
class OwnTask:
    """A problem that is none of the built-in ones. The page "A task of your own" has examples.

    Args:
        train: items ``(input, target)``. The input is a tensor or array (C, H, W) of the space's
            input, float32 as the network reads it, or uint8, which is then divided by 255 and
            normalised with ``mean`` and ``std``. The target is a number, a tensor or an array, of
            one shape for all items.
        test: the same; scores final results, and is never augmented.
        loss: (outputs, targets) of a batch → their mean loss, a scalar with a gradient.
        score: (outputs, targets) → a value an item, (N,), averaged over a split; or an object with
            ``update(outputs, targets)`` and ``compute()``, as torchmetrics has them. Either may
            give a dict of figures, the first of which is the score.
        name: what results and files call the task; as the recipe does where empty.
        score_name: what the score is called; a dict's own word where empty.
        unit: printed behind it; ``%`` and "" are known.
        higher_is_better: false for an error.
        beside: a further figure of the dict that is worth a curve of its own.
        labels: names of the outputs; their numbers where empty.
        mean: of the input's channels after division by 255, to normalise uint8 with; of float32
            inputs what they were normalised with, which exported files then say. 0 where empty.
        std: likewise; 1 where empty.
        augment: (input, target) → the same, changed at random; for training items alone. Random
            numbers of torch, numpy and ``random`` may be used: they are seeded item by item.
        plain: the same items as ``train``, in the same order, where that one augments by itself;
            the hold-out and the batch statistics are taken from it.
        stratify: class of every training item; the hold-out has each in its share.
        groups: scene, person, … of every training item; the hold-out takes whole groups.
        output_prior: mean and standard deviation that the outputs start with (a regression's).
        pictures: (inputs, targets, outputs) of a few items, as the network reads them → a figure
            for TensorBoard and the report.
        workers: processes that read items; 0 for none.
    """

    train: Items
    test: Items
    loss: Loss
    score: ScoreFunction | Metric
    name: str = ""
    score_name: str = ""
    unit: str = ""
    higher_is_better: bool = True
    beside: str = ""
    labels: Sequence[str] = ()
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    augment: Callable[[Tensor, Tensor], tuple[Any, Any]] | None = None
    plain: Items | None = None
    stratify: Sequence[int] | None = None
    groups: Sequence[Hashable] | None = None
    output_prior: tuple[float, float] | None = None
    pictures: Callable[[Tensor, Tensor, Outputs], Figure] | None = None
    workers: int = 0

    def check(self, task: str, *, channels: int, classes: int) -> None:
        """Refuse fields that cannot be what they are for.

        Args:
            task: named in errors.
            channels: of the network's input.
            classes: channels of its first output.

        Raises:
            UserError: says which field, what it is and what was expected.
        """

        def expect(fits: bool, field: str, wanted: str) -> None:
            if not fits:
                given = getattr(self, field)
                raise UserError(f"task {task}: {field} is {brief(given)}, expected {wanted}")

        for field in ("train", "test"):
            data = getattr(self, field)
            indexed = isinstance(data, Sized) and hasattr(data, "__getitem__")
            expect(indexed, field, "a Dataset with __len__ and __getitem__")
            expect(len(data) > 0, field, "at least one item")
        expect(
            self.plain is None
            or (hasattr(self.plain, "__getitem__") and len(self.plain) == len(self.train)),
            "plain",
            f"a Dataset of the {len(self.train)} training items",
        )
        expect(callable(self.loss), "loss", "a function (outputs, targets)")
        expect(
            is_metric(self.score) or callable(self.score),
            "score",
            "a function (outputs, targets) or an object with update and compute",
        )
        for field in ("augment", "pictures"):
            value = getattr(self, field)
            expect(value is None or callable(value), field, "a function or None")
        for field in ("name", "score_name", "unit", "beside"):
            expect(isinstance(getattr(self, field), str), field, "text")
        expect(isinstance(self.higher_is_better, bool), "higher_is_better", "True or False")
        expect(
            not isinstance(self.labels, str) and all(isinstance(n, str) for n in self.labels),
            "labels",
            "a list of names",
        )
        expect(
            len(self.labels) in (0, classes), "labels", f"{classes} names, one an output channel"
        )
        for field in ("mean", "std"):
            values = getattr(self, field)
            wanted = f"{channels} numbers, one a channel of the space's input"
            expect(len(values) in (0, channels), field, wanted)
            expect(all(math.isfinite(v) for v in values), field, wanted)
        expect(all(v > 0 for v in self.std), "std", "numbers above 0")
        for field in ("stratify", "groups"):
            values = getattr(self, field)
            items = f"one entry for each of the {len(self.train)} training items"
            expect(values is None or len(values) == len(self.train), field, items)
        expect(
            self.stratify is None or self.groups is None,
            "groups",
            "None beside stratify: a hold-out of whole groups has no exact shares",
        )
        expect(type(self.workers) is int and self.workers >= 0, "workers", "0 or more processes")


def is_metric(score: object) -> bool:
    """True for an object that gathers batches."""
    return all(callable(getattr(score, method, None)) for method in ("update", "compute"))


def brief(value: object) -> str:
    """A value in a few words: type, and length or value where that says something."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:37]}…")
    if isinstance(value, Tensor) or (hasattr(value, "shape") and hasattr(value, "dtype")):
        return f"{kind} {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return f"{kind} of {len(value)}" if isinstance(value, Sized) else f"a {kind}"
