"""The fitted devices: what each was fitted to, and how; one command makes each again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np

from lut.cost import DeviceInfo
from lut.fit.measurements import Measured, read_measurements
from lut.fit.model import FittedModel, coverage
from lut.fit.networks import read_networks
from lut.fit.phones import PHONES
from lut.fit.processor import Processor
from lut.fit.processor import amounts as amounts_of
from lut.fit.recipes import PIXELS, Recipe
from lut.fit.solve import Matrix, Vector, accuracy, fit, folds, held_out
from search_spaces import UserError, unknown

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*PIXELS, *PHONES)}
"""Every fitted device by name."""


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


def feature_matrix(measured: Sequence[Measured], core: Processor) -> tuple[list[str], Matrix]:
    """Feature names, and the amounts of every measurement: (measurements, features)."""
    totals: list[dict[str, float]] = []
    for entry in measured:
        total: dict[str, float] = {}
        for operation in entry.operations:
            for name, amount in amounts_of(operation, core).items():
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
