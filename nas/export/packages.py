"""Converters that are extras: looked for before they are used, and kept quiet."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO

from search_spaces import UserError


def needs(what: str, packages: Sequence[str], extra: str) -> None:
    """Refuse where a converter is not installed.

    Raises:
        UserError: names the first missing package and the extra that brings it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise UserError(f"{what} needs the package {package}: pip install 'netadapt[{extra}]'")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps a converter's notes about itself, also those of its C part, out of the output."""
    before, null = logging.root.manager.disable, os.open(os.devnull, os.O_WRONLY)
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    logging.disable(logging.WARNING)
    try:
        for stream, _ in kept:
            os.dup2(null, stream)
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        for stream, copy in kept:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(null)
