"""Latency tables: schema, look-up, measuring devices, fitted device models, importers."""

from lut.cost import CostModel, DeviceInfo, UncoveredError
from lut.opening import open_cost_model

__all__ = ["CostModel", "DeviceInfo", "UncoveredError", "open_cost_model"]
