"""A metric of the user's own: a function of the network description, named in the recipe."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from nas.metrics.base import PerNetwork
from search_spaces import Network, SearchSpace, UserError


class UserMetric(PerNetwork):
    """Calls ``function(network, **settings) -> float`` once for every distinct architecture.

    The unit is the function's attribute ``unit`` where it has one.
    """

    def __init__(
        self,
        space: SearchSpace,
        name: str,
        function: Callable[..., float],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.unit = str(getattr(function, "unit", ""))
        self.identity = _source_hash(function, settings or {})
        self._settings = settings or {}
        super().__init__(space)
        self._function = function

    def of(self, network: Network) -> float:
        """The function's value.

        Raises:
            UserError: the function raises, or returns no positive, finite number.
        """
        try:
            value = float(self._function(network, **self._settings))
        except Exception as error:
            raise UserError(f"metric {self.name}: the function raised {error!r}") from error
        if not (math.isfinite(value) and value > 0):
            raise UserError(
                f"metric {self.name}: the function returned {value}; "
                "it must return a positive, finite number"
            )
        return value


def _source_hash(function: Callable[..., float], settings: Mapping[str, Any]) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = getattr(function, "__qualname__", repr(type(function)))
    if settings:
        source += json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(source.encode()).hexdigest()[:16]
