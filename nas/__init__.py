"""Hardware-aware neural architecture search: NetAdaptV2 and classic NetAdapt.

What a program needs, by one import; the page "From Python" has an example of each. Everything is
imported only when it is used, so ``import nas`` takes no time and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lut import open_cost_model as open_device
    from nas.export import load
    from nas.recipe.loading import load_experiment as load_recipe
    from nas.recipe.spaces import open_space
    from nas.runs.networks import load_architecture
    from nas.runs.results import load_any as load_result
    from nas.runs.weights import load_network
    from nas.steps import train_network, train_supernet
    from nas.steps.find import find_networks
    from nas.steps.run import run as run_experiment
    from nas.steps.search import search as run_search
    from nas.steps.smaller import make_smaller
    from nas.tasks.own import OwnTask

_WHERE = {
    "OwnTask": "nas.tasks.own:OwnTask",
    "find_networks": "nas.steps.find:find_networks",
    "load": "nas.export:load",
    "load_architecture": "nas.runs.networks:load_architecture",
    "load_network": "nas.runs.weights:load_network",
    "load_result": "nas.runs.results:load_any",
    "load_recipe": "nas.recipe.loading:load_experiment",
    "make_smaller": "nas.steps.smaller:make_smaller",
    "open_device": "lut:open_cost_model",
    "open_space": "nas.recipe.spaces:open_space",
    "run_experiment": "nas.steps.run:run",
    "run_search": "nas.steps.search:search",
    "train_network": "nas.steps:train_network",
    "train_supernet": "nas.steps:train_supernet",
}
"""Name → where it is defined. No name is that of a package below ``nas``."""

__all__ = [
    "OwnTask",
    "find_networks",
    "load",
    "load_architecture",
    "load_network",
    "load_recipe",
    "load_result",
    "make_smaller",
    "open_device",
    "open_space",
    "run_experiment",
    "run_search",
    "train_network",
    "train_supernet",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from nas.neighbours import stranger

        hidden = stranger()
        if hidden is not None:
            raise ImportError(hidden)
        module, _, defined = _WHERE[name].partition(":")
        return getattr(importlib.import_module(module), defined)

    def __dir__() -> list[str]:
        return sorted([*globals(), *_WHERE])
