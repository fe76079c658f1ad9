"""The fitted devices: what each was fitted to, and how; one command makes each again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np

from lut.cost import DeviceInfo, Precision
from lut.fit.features import Core, features
from lut.fit.measurements import Measured, read_measurements
from lut.fit.model import FittedModel, coverage
from lut.fit.networks import read_networks
from lut.fit.solve import Matrix, Vector, accuracy, fit, folds, held_out
from search_spaces import UserError, unknown


@dataclass(frozen=True)
class Recipe:
    """How a device is fitted.

    ``files`` are the names of its measurement files; ``column`` picks the latency in a file of
    networks. ``power`` and ``ridge`` are those of `solve.fit`. ``borrowed`` gives features that no
    measurement has the coefficient of another one. ``without`` are features left at 0.
    """

    name: str
    description: str
    cores: str
    runtime: str
    runtime_version: str
    source: str
    files: tuple[str, ...]
    core: Core
    precision: Precision = "float32"
    column: str = ""
    power: float = 2.0
    ridge: float = 0.0
    borrowed: Mapping[str, str] | None = None
    without: tuple[str, ...] = ()
    extrapolated: tuple[str, ...] = ()


NN_METER = "microsoft/nn-Meter (MIT), branch dev/hybrid-transformer, commit 9c31e19"
MOBILE_BENCHMARK = "qed-usc/mobile-ml-benchmark (MIT), commit 40ba833"

_BLOCK_NOTES = (
    "slice, concat, pad_channels, resize and stand-alone batch norm (bypass lowerings and "
    "decoders): bytes moved at the fitted bandwidth of elementwise operations; a runtime that "
    "cannot delegate them pays more",
    "max pooling: as average pooling",
    "depthwise 7x7: scaled by area from 5x5",
    "dense k x k convolutions other than the first one (3 input channels)",
    "maps smaller than 2x2 or larger than 256x256, and widths outside the coverage",
    "whole networks: weights of blocks timed again and again are warmer than in a network",
)
_NETWORK_NOTES = (
    "slice, pad_channels and resize (bypass lowerings and decoders): bytes moved at the fitted "
    "bandwidth; a runtime that cannot delegate them pays more",
    "additions, gates, activations and stand-alone norms are not in the measured lists of "
    "operations; they were put back by the structure of each family",
    "resolutions other than 224: every measured network has 224",
)


def _blocks(name: str, phone: str, core: str, *, power: float, caches: tuple[int, ...]) -> Recipe:
    number = phone.split()[-1]
    return Recipe(
        name=name,
        description=f"{phone}, convolution blocks timed one by one (nn-Meter)",
        cores=f"1 large core ({core}), implied by the rate, not recorded",
        runtime="TFLite with XNNPACK",
        runtime_version="not recorded",
        source=NN_METER,
        files=(f"nn_meter_pixel{number}_mbconv.json",),
        core=Core(weight_caches=caches),
        power=power,
        borrowed={"max_pool": "avg_pool"},
        extrapolated=_BLOCK_NOTES,
    )


_NETWORK_FILES = ("pixel4_tflite_networks.csv", "pixel4_tflite_network_ops.csv")
_CACHES = (16_000, 128_000, 512_000, 1_000_000)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _blocks("pixel1-cpu", "Google Pixel 1", "Kryo", power=1.5, caches=_CACHES),
        _blocks(
            "pixel4-cpu-blocks",
            "Google Pixel 4",
            "Kryo 485",
            power=2.0,
            caches=(*_CACHES, 2_000_000),
        ),
        _blocks("pixel6-cpu", "Google Pixel 6", "Cortex-X1", power=1.5, caches=_CACHES),
        Recipe(
            name="pixel4-cpu",
            description="Google Pixel 4, whole networks (mobile-ml-benchmark)",
            cores="1 large core (Kryo 485)",
            runtime="TFLite",
            runtime_version="2.10",
            source=MOBILE_BENCHMARK,
            files=_NETWORK_FILES,
            core=Core(weight_caches=(16_000, 256_000), map_caches=(128_000, 1_500_000)),
            column="pixel4|1large|float|mean",
            ridge=0.1,
            extrapolated=_NETWORK_NOTES,
        ),
        Recipe(
            name="pixel4-cpu-int8",
            description="Google Pixel 4, whole int8 networks (mobile-ml-benchmark)",
            cores="1 large core (Kryo 485)",
            runtime="TFLite",
            runtime_version="2.10",
            source=MOBILE_BENCHMARK,
            files=_NETWORK_FILES,
            core=Core(
                rows=8, weight_caches=(16_000, 256_000), map_caches=(128_000, 1_500_000), element=1
            ),
            precision="int8",
            column="pixel4|1large|quant|mean",
            ridge=0.1,
            extrapolated=_NETWORK_NOTES,
        ),
    )
}


def fitted_names() -> list[str]:
    """The devices whose coefficients are shipped, by name."""
    folder = package_files("lut.fit") / "coefficients"
    return sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name[-5:] == ".json")


def load_fitted(name: str) -> FittedModel:
    """The shipped model of a device.

    Raises:
        UserError: no such device.
    """
    names = fitted_names()
    if name not in names:
        raise unknown("fitted device", name, names)
    return FittedModel.load(Path(str(package_files("lut.fit") / "coefficients" / f"{name}.json")))


def fit_device(name: str, files: Path | Sequence[Path]) -> FittedModel:
    """Fit a known device to its measurement files.

    Args:
        name: one of `RECIPES`.
        files: the files, or the folder that holds them.

    Raises:
        UserError: no such device, or a file is missing or malformed.
    """
    if name not in RECIPES:
        raise unknown("device to fit", name, RECIPES)
    recipe = RECIPES[name]
    paths = _paths(recipe, files)
    if recipe.column:
        networks = read_networks(paths[0], paths[1], recipe.column)
        measured = [
            Measured(n.name, n.operations, n.latency, n.family.group, n.family.mobile)
            for n in networks
        ]
    else:
        measured = read_measurements(paths[0])
    record = [
        {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in paths
    ]
    return fit_measurements(recipe, measured, record)


def fit_measurements(
    recipe: Recipe, measured: Sequence[Measured], record: Sequence[Mapping[str, str]] = ()
) -> FittedModel:
    """Fit a recipe to measurements, and cross-validate it.

    With ``mobile`` entries the errors are those of leaving out one network at a time and each
    mobile family as a whole; else of ten random parts and of one random fifth.

    Raises:
        UserError: fewer measurements than features.
    """
    names, amounts = feature_matrix(measured, recipe.core)
    latencies = np.array([m.latency for m in measured])
    used = [i for i, n in enumerate(names) if n not in recipe.without]
    if len(measured) < len(used):
        raise UserError(
            f"{len(measured)} measurements are too few to fit {len(used)} features; measure more "
            "blocks or networks"
        )
    settings: dict[str, Any] = {"power": recipe.power, "ridge": recipe.ridge}
    solved = fit(amounts[:, used], latencies, **settings)
    coefficients = dict.fromkeys(names, 0.0)
    coefficients |= {names[i]: float(c) for i, c in zip(used, solved, strict=True)}
    for name, other in (recipe.borrowed or {}).items():
        coefficients.setdefault(name, coefficients[other])
    errors, trust = validate(measured, amounts[:, used], latencies, settings)
    device = DeviceInfo(
        name=recipe.name,
        description=recipe.description,
        cores=recipe.cores,
        threads=1,
        runtime=recipe.runtime,
        runtime_version=recipe.runtime_version,
        precision=recipe.precision,
        provenance="fitted",
        trust=round(trust, 3),
    )
    return FittedModel(
        device=device,
        core=replace(recipe.core),
        coefficients=coefficients,
        coverage=coverage(o for m in measured for o in m.operations),
        provenance={
            "source": recipe.source,
            "files": [dict(entry) for entry in record],
            "column": recipe.column,
            "measurements": len(measured),
            "errors": errors,
            "trust": "90 % of the errors counted for it lie below",
            "extrapolated": list(recipe.extrapolated),
        },
    )


def feature_matrix(measured: Sequence[Measured], core: Core) -> tuple[list[str], Matrix]:
    """Feature names, and the amounts of every measurement: (measurements, features)."""
    totals: list[dict[str, float]] = []
    for entry in measured:
        total: dict[str, float] = {}
        for operation in entry.operations:
            for name, amount in features(operation, core).items():
                total[name] = total.get(name, 0.0) + amount
        totals.append(total)
    names = sorted({name for total in totals for name in total})
    return names, np.array([[total.get(name, 0.0) for name in names] for total in totals])


def validate(
    measured: Sequence[Measured], amounts: Matrix, latencies: Vector, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], float]:
    """Errors on what was kept out of the fit, and the one that figures are printed with."""
    mobile = np.array([m.mobile for m in measured])
    count = len(measured)
    if not mobile.any():
        tenths = held_out(amounts, latencies, folds(count, 10, 0), **settings)
        fifth = folds(count, 5, 1)[0]
        once = held_out(amounts, latencies, [fifth], **settings)[fifth]
        errors = {
            "ten random parts": accuracy(tenths, latencies),
            "one random fifth": accuracy(once, latencies[fifth]),
        }
        trust = errors["ten random parts"].p90_error
        return {k: v.to_dict() for k, v in errors.items()}, trust
    singly = held_out(amounts, latencies, [np.array([i]) for i in range(count)], **settings)
    groups = sorted({m.group for m in measured if m.mobile})
    members = [np.array([i for i, m in enumerate(measured) if m.group == g]) for g in groups]
    family = held_out(amounts, latencies, members, **settings)
    errors = {
        "one network left out": accuracy(singly, latencies),
        "one network left out, mobile networks": accuracy(singly[mobile], latencies[mobile]),
    }
    for group, index in zip(groups, members, strict=True):
        errors[f"one network left out, {group}"] = accuracy(singly[index], latencies[index])
        errors[f"family left out, {group}"] = accuracy(family[index], latencies[index])
    inside = np.isfinite(family)
    every = accuracy(family[inside], latencies[inside])
    errors["family left out, all mobile families"] = every
    return {k: v.to_dict() for k, v in errors.items()}, every.p90_error


def _paths(recipe: Recipe, files: Path | Sequence[Path]) -> list[Path]:
    if isinstance(files, Path):
        files = [files / name for name in recipe.files] if files.is_dir() else [files]
    if len(files) != len(recipe.files):
        raise UserError(
            f"{recipe.name} is fitted to {' and '.join(recipe.files)}: give these files or the "
            "folder that holds them"
        )
    for path in files:
        if not path.is_file():
            raise UserError(f"no file {path}; {recipe.name} is fitted to {recipe.source}")
    return list(files)
