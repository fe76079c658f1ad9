"""Devices that measure: this machine, and Android phones over adb."""

from lut.devices.base import (
    Interleaving,
    Measurement,
    MeasuringDevice,
    Progress,
    ProgressCallback,
    ResultCallback,
    device_identity,
)

__all__ = [
    "Interleaving",
    "Measurement",
    "MeasuringDevice",
    "Progress",
    "ProgressCallback",
    "ResultCallback",
    "device_identity",
]
