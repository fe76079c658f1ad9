"""Whether the packages that are installed beside this one are those that a program would import.

A distribution or a file of the user's that has one of their names would be imported in their
place, and fail with words that say nothing. Nothing of ours is imported here.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("lut", "search_spaces", "supernet")
"""Imported by name. `experiments` holds recipes only, which are read as files."""

SITE = Path(__file__).resolve().parent.parent
"""The folder that holds all of them, installed or in a clone."""


def stranger() -> str | None:
    """The first package that is not ours, in words for the user; None where all are."""
    for name in PACKAGES:
        spec = find_spec(name)
        found = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        if found is None:
            return (
                f"the package {name}, which is installed together with nas, is missing from "
                f"{SITE}; install netadapt again"
            )
        if found != SITE / name / "__init__.py":
            return (
                f"{found} hides the package {name}, which is installed together with nas; rename "
                "or remove it, or install netadapt in an environment of its own"
            )
    return None
