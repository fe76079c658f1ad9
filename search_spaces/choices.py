"""What may vary: choices, and the widths of layers as functions of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import UserError

Values = Mapping[str, int]
"""Choice name → value."""

ChoiceKind = Literal["width", "expansion", "kernel"]


@dataclass(frozen=True)
class Choice:
    """One dimension of a search space; ``values`` ascend and the last is the largest network's.

    A choice with ``requires`` is dead while that width choice is 0: it then holds its largest
    value and is never sampled.
    """

    name: str
    kind: ChoiceKind
    values: tuple[int, ...]
    requires: str | None = None

    @property
    def largest(self) -> int:
        """The value in the largest network."""
        return self.values[-1]


@dataclass(frozen=True)
class Unit:
    """What can lose its filters and be bypassed, for drawing and for reports.

    ``filters`` is T, the filters in the largest network; ``width`` names the choice M.
    """

    name: str
    width: str
    filters: int
    stride: int
    residual: bool
    bypass: bool
    expansion: str | None = None
    kernel: str | None = None


def make_divisible(value: float, divisor: int = 8, minimum: int | None = None) -> int:
    """Round to a multiple of ``divisor``, never down by more than 10 %.

    The rounding rule of MobileNetV2 and V3 (Sandler et al., CVPR 2018; Howard et al., ICCV 2019).

    Raises:
        UserError: ``value`` is not above 0.
    """
    if not 0 < value < float("inf"):
        raise UserError(f"a width of {value} channels: the width multiplier must be above 0")
    low = divisor if minimum is None else minimum
    rounded = max(low, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _identity(value: int) -> int:
    return value


def _squeeze4(value: int) -> int:
    return make_divisible(value / 4)


RULES: dict[str, Callable[[int], int]] = {"identity": _identity, "squeeze4": _squeeze4}
"""How a width follows a choice; ``squeeze4`` is MobileNetV3's squeeze width, a quarter of E."""


@dataclass(frozen=True)
class Width:
    """A number of filters: fixed, or a function (``rule``) of one choice.

    A width that is not searched has ``choice`` None and holds ``maximum``. ``multiple``
    scales the result, for layers that are tied at a ratio.
    """

    maximum: int
    choice: str | None = None
    rule: str = "identity"
    multiple: int = 1

    def of(self, values: Values) -> int:
        """The width in the network with these values."""
        if self.choice is None:
            return self.maximum
        return RULES[self.rule](values[self.choice]) * self.multiple


def widths(largest: int, *, removable: bool = False, step: int = 8) -> tuple[int, ...]:
    """Multiples of ``step`` up to ``largest`` (always included), from 0 where removable."""
    values = set(range(step, largest + 1, step)) | {largest}
    return tuple(sorted(values | {0} if removable else values))
