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
    measurement has the coefficient of another one. ``terms`` are sums of features in fixed ratios
    that share one coefficient, for sources too small to tell all features apart; features in no
    term cost nothing. Without terms every feature but ``without`` has its own coefficient.
    ``mobile_weight`` is the weight of mobile networks against others. ``network_error`` is what
    is known of whole networks beyond the errors of the fit; figures are printed with the larger.
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
    terms: Mapping[str, Mapping[str, float]] | None = None
    mobile_weight: float = 1.0
    network_error: float = 0.0
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
    "whole networks: only blocks were timed, again and again, with warmer weights than in a "
    "network; four published networks on a Pixel 1 lie 10 to 12 % above the prediction",
)
_NETWORK_NOTES = (
    "slice, pad_channels and resize (bypass lowerings and decoders): bytes moved at the fitted "
    "bandwidth; a runtime that cannot delegate them pays more",
    "additions, gates, activations and stand-alone norms are not in the measured lists of "
    "operations; they were put back by the structure of each family",
    "resolutions other than 224: every measured network has 224",
)


_NETWORKS_ONLY = ("tiles", "padded_read", "image_pixels", "weights", "depthwise_strided", "norm")
# features that only whole networks show; blocks are fitted as well without them


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
        without=_NETWORKS_ONLY,
        network_error=0.12,
        extrapolated=_BLOCK_NOTES,
    )


_DEPTHWISE = ("depthwise3s1", "depthwise3s2", "depthwise5s1", "depthwise5s2")
# Ratios to a multiply-accumulate of a matrix product as the block fits of three phones have them:
# 3.1 to 3.6 for depthwise, 0.35 to 0.9 a byte for elementwise traffic.
_FLOAT_TERMS: dict[str, dict[str, float]] = {
    "core": {
        "gemm": 1.0,
        **dict.fromkeys(_DEPTHWISE, 3.5),
        "traffic": 0.4,
        "swish": 0.7,
        "global_pool": 1.0,
        "avg_pool": 8.0,
        "max_pool": 8.0,
    },
    "strided depthwise": {"depthwise3s2": 1.0, "depthwise5s2": 1.0},
    "igemm": {"igemm": 1.0},
    "padded_read": {"padded_read": 1.0},
    "tiles": {"tiles": 1.0},
    "weights": {"weights": 1.0},
    "norm": {"norm": 1.0},
    "grouped": {"grouped": 1.0},
    "grouped_taps": {"grouped_taps": 1.0},
}
_INT8_TERMS: dict[str, dict[str, float]] = {
    "gemm": {"gemm": 1.0},
    "igemm": {"igemm": 1.0},
    "depthwise": dict.fromkeys(_DEPTHWISE, 1.0),
    "depthwise 5x5": {"depthwise5s1": 1.0, "depthwise5s2": 1.0},
    "depthwise_strided": {"depthwise_strided": 1.0},
    # a pool sums in 32 bits, at about half the rate of a copy
    "traffic": {"traffic": 1.0, "global_pool": 2.0, "avg_pool": 2.0, "max_pool": 2.0},
    "padded_read": {"padded_read": 1.0},
    "image_pixels": {"image_pixels": 1.0},
    "packing": {"read": 1.0, "write": 1.0},
    "weights": {"weights": 1.0},
    "norm": {"norm": 1.0},
    "grouped": {"grouped": 1.0},
    "grouped_taps": {"grouped_taps": 1.0},
}

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
            core=Core(weight_caches=(), map_caches=()),
            column="pixel4|1large|float|mean",
            ridge=0.02,
            terms=_FLOAT_TERMS,
            mobile_weight=3.0,
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
            core=Core(rows=8, weight_caches=(), map_caches=(), element=1),
            precision="int8",
            column="pixel4|1large|quant|mean",
            ridge=0.02,
            terms=_INT8_TERMS,
            mobile_weight=3.0,
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
    mix = _mix(recipe, names)
    if len(measured) < mix.shape[1]:
        raise UserError(
            f"{len(measured)} measurements are too few to fit {mix.shape[1]} features; measure "
            "more blocks or networks"
        )
    settings: dict[str, Any] = {
        "power": recipe.power,
        "ridge": recipe.ridge,
        "weights": np.array([recipe.mobile_weight if m.mobile else 1.0 for m in measured]),
    }
    solved = mix @ fit(amounts @ mix, latencies, **settings)
    coefficients = {name: float(c) for name, c in zip(names, solved, strict=True)}
    coefficients = dict.fromkeys(recipe.without, 0.0) | coefficients
    for name, other in (recipe.borrowed or {}).items():
        coefficients.setdefault(name, coefficients[other])
    errors, trust = validate(measured, amounts @ mix, latencies, settings)
    device = DeviceInfo(
        name=recipe.name,
        description=recipe.description,
        cores=recipe.cores,
        threads=1,
        runtime=recipe.runtime,
        runtime_version=recipe.runtime_version,
        precision=recipe.precision,
        provenance="fitted",
        trust=round(max(trust, recipe.network_error), 3),
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
            "trust": (
                "the error of whole networks against published ones on the Pixel 1"
                if recipe.network_error > trust
                else "nine of ten mobile networks whose family was left out lie within"
            ),
            "extrapolated": list(recipe.extrapolated),
        },
    )


def _mix(recipe: Recipe, names: Sequence[str]) -> Matrix:
    """(features, coefficients): how much of each fitted coefficient a feature costs."""
    terms = recipe.terms
    if terms is None:
        terms = {name: {name: 1.0} for name in names if name not in recipe.without}
    columns = [[term.get(name, 0.0) for name in names] for term in terms.values()]
    return np.array([column for column in columns if any(column)]).T


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
