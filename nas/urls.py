"""Database addresses as they may be shown."""

import re

HIDDEN = "***"
"""Stands for a password where an address is stored or printed."""


def shown(url: str) -> str:
    """The address with its password hidden; one without a password, or none at all, as it is."""
    return re.sub(r"(://[^:/@]*):[^/?]*@", rf"\1:{HIDDEN}@", url)
