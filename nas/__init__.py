"""Hardware-aware neural architecture search: NetAdaptV2 and classic NetAdapt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.export import ExportedNetwork


def load(path: Path | str) -> ExportedNetwork:
    """Read a network that ``nas export --format pytorch`` wrote, ready to run.

    Raises:
        UserError: the file is missing, truncated, foreign or of another version.
    """
    # torch is imported only by those who load a network
    from nas.export import load as load_file

    return load_file(path)
