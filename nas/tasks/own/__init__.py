"""A task of the user's own: ordinary PyTorch data sets, a loss and a score."""

from nas.tasks.own.parts import OwnTask
from nas.tasks.own.task import DatasetTask

__all__ = ["DatasetTask", "OwnTask"]
