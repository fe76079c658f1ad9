"""Latency tables: schema, look-up, measuring devices, fitted device models, importers."""

from lut.build import build_table
from lut.cost import CostModel, DeviceInfo, UncoveredError
from lut.opening import open_cost_model
from lut.table import Table

__all__ = [
    "CostModel",
    "DeviceInfo",
    "Table",
    "UncoveredError",
    "build_table",
    "open_cost_model",
]
