"""Fitted device models: from timed blocks or networks to the cost of any operation."""

from lut.fit.devices import (
    RECIPES,
    fit_device,
    fit_measurements,
    fitted_names,
    load_fitted,
)
from lut.fit.measurements import Measured, read_measurements
from lut.fit.model import FittedModel
from lut.fit.recipes import Recipe
from lut.fit.solve import Accuracy, accuracy

__all__ = [
    "RECIPES",
    "Accuracy",
    "FittedModel",
    "Measured",
    "Recipe",
    "accuracy",
    "fit_device",
    "fit_measurements",
    "fitted_names",
    "load_fitted",
    "read_measurements",
]
