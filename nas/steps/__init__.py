"""The steps of the method as functions: what the commands call, and a program may.

Each writes its own folder (``config.yaml``, ``result.json``, weights, TensorBoard events,
checkpoints) and returns what its ``result.json`` holds.
"""

from nas.steps.baseline import choose_baseline, train_baseline, train_chosen
from nas.steps.common import own_version
from nas.steps.network import evaluate_network, train_network
from nas.steps.run import run
from nas.steps.search import join, search
from nas.steps.supernet import train_supernet

__all__ = [
    "choose_baseline",
    "evaluate_network",
    "join",
    "own_version",
    "run",
    "search",
    "train_baseline",
    "train_chosen",
    "train_network",
    "train_supernet",
]
