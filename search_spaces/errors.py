"""The one exception type that means "the user can mend this"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the user gave: one clear line saying what, where and what to do.

    The command line prints it without a traceback and exits with 2.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The refusal of an unknown name, with the nearest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    shown = [*names[:20], "…"] if len(names) > 20 else names
    hint = "known: " + ", ".join(shown) if names else "there are none"
    if near:
        hint = f"did you mean {near[0]!r}?"
    return UserError(f"unknown {kind} {name!r}; {hint}")


def in_a_line(error: object, most: int = 200) -> str:
    """What an exception says in one line of at most ``most`` characters."""
    return " ".join(str(error).split())[:most]
