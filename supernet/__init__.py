"""The shared weights: super-network, ordered dropout, extraction, recalibration."""

from supernet.assignment import Assignment
from supernet.compact import CompactNetwork, ConvLayer, conv_layers
from supernet.extraction import extract
from supernet.recalibration import recalibrate
from supernet.supernet import Supernet

__all__ = [
    "Assignment",
    "CompactNetwork",
    "ConvLayer",
    "Supernet",
    "conv_layers",
    "extract",
    "recalibrate",
]
