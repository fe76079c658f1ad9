"""The steps of the method as functions: what the commands call, and a program may.

Each writes its own folder (``config.yaml``, ``result.json``, weights, TensorBoard events,
checkpoints) and returns the record that its ``result.json`` holds (`nas.runs.results`).
"""

from nas.steps.baseline import choose_baseline, train_baseline, train_chosen
from nas.steps.evaluation import evaluate_network
from nas.steps.network import Purpose, train_network
from nas.steps.search import join
from nas.steps.supernet import train_supernet

__all__ = [
    "Purpose",
    "choose_baseline",
    "evaluate_network",
    "join",
    "train_baseline",
    "train_chosen",
    "train_network",
    "train_supernet",
]
