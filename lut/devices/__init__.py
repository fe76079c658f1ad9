"""Devices that measure: this machine, and Android phones over adb."""

from lut.devices.base import (
    Measurement,
    MeasuringDevice,
    Progress,
    ProgressCallback,
    ResultCallback,
    device_identity,
)

__all__ = [
    "Measurement",
    "MeasuringDevice",
    "Progress",
    "ProgressCallback",
    "ResultCallback",
    "device_identity",
]
