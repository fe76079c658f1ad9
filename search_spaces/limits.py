"""What of a space may change: frozen choices, multiples and least widths; and who is tied to whom.

A limited space is a part of the whole one: the same choices with fewer of their values. So its
architectures are the whole one's, and super-networks and files go from one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from search_spaces.choices import Choice, ChoiceKind, Width
from search_spaces.errors import UserError, unknown
from search_spaces.space import SearchSpace

Minimum = float | Mapping[str, float]
"""Filters, or a share of the largest width where it is below 1; for all, or by name or pattern."""


@dataclass(frozen=True)
class Tied:
    """A choice and all that follows it.

    ``values`` are those that it may take; ``layers`` are the nodes whose filters or kernel it
    sets, in the order of the network; ``units`` names the unit or units that it belongs to.
    """

    choice: str
    kind: ChoiceKind
    values: tuple[int, ...]
    layers: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def frozen(self) -> bool:
        """True for a choice that keeps its largest value."""
        return len(self.values) == 1

    def called(self, pattern: str) -> bool:
        """Whether a name, or a pattern with ``*`` and ``?``, is that of the choice, of one of its
        units or of one of its layers."""
        return any(fnmatchcase(name, pattern) for name in (self.choice, *self.units, *self.layers))


def tied(space: SearchSpace) -> list[Tied]:
    """Every choice of a space with the layers that change together by it."""
    layers: dict[str, list[str]] = {name: [] for name in space.choices}
    for node in space.nodes:
        filters = getattr(node, "filters", None)
        own = filters.choice if isinstance(filters, Width) else None
        for choice in dict.fromkeys((own, getattr(node, "kernel_choice", None))):
            if choice is not None:
                layers[choice].append(node.name)
    units: dict[str, list[str]] = {name: [] for name in space.choices}
    for unit in space.units:
        for choice in (unit.width, unit.expansion, unit.kernel):
            if choice is not None:
                units[choice].append(unit.name)
    return [
        Tied(name, choice.kind, choice.values, tuple(layers[name]), tuple(units[name]))
        for name, choice in space.choices.items()
    ]


def limited(
    space: SearchSpace,
    *,
    keep: Sequence[str] = (),
    multiple: int = 1,
    minimum: Minimum = 0,
) -> SearchSpace:
    """The part of a space in which less may change; its largest network is the same.

    Args:
        space: the whole.
        keep: names or patterns (``*``, ``?``) of choices, units or layers; every choice that one
            of them names keeps its largest value. A layer's name means all that are tied to it.
        multiple: widths and expansions are multiples of it, besides the largest and 0.
        minimum: widths and expansions are at least so large; above 0 no unit can be removed.

    Raises:
        UserError: a name that is none (with the nearest one), numbers that cannot be, or nothing
            is left that may change.
    """
    if multiple < 1:
        raise UserError(f"multiple = {multiple}: must be 1 or more")
    groups = tied(space)
    least = dict(minimum) if isinstance(minimum, Mapping) else {"*": minimum}
    for pattern in (*keep, *least):
        _check_name(space, groups, pattern)
    for value in least.values():
        if not 0 <= value < math.inf:
            raise UserError(f"minimum = {value}: must be filters, or a share of the largest width")
    choices: dict[str, Choice] = {}
    for group in groups:
        choice = space.choices[group.choice]
        if any(group.called(pattern) for pattern in keep):
            values: tuple[int, ...] = (choice.largest,)
        elif choice.kind == "kernel":
            values = choice.values
        else:
            floor = max((v for pattern, v in least.items() if group.called(pattern)), default=0)
            values = _values(choice, multiple, floor)
        choices[group.choice] = replace(choice, values=values)
    if choices == dict(space.choices):
        return space
    if all(len(choice.values) == 1 for choice in choices.values()):
        raise UserError(
            f"space {space.name}: keep, multiple and minimum leave nothing that may change"
        )
    return replace(space, choices=choices, whole=space.whole or space)


def _values(choice: Choice, multiple: int, floor: float) -> tuple[int, ...]:
    """The values that are left; the largest always is."""
    least = floor * choice.largest if floor < 1 else floor
    return tuple(
        v for v in choice.values if v == choice.largest or (v % multiple == 0 and v >= least)
    )


def _check_name(space: SearchSpace, groups: Sequence[Tied], pattern: str) -> None:
    if not any(group.called(pattern) for group in groups):
        known = {name for group in groups for name in (group.choice, *group.units, *group.layers)}
        raise unknown(f"choice, unit or layer of space {space.name}", pattern, known)
