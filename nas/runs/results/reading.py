"""Reading result files: checked field by field, those of earlier versions too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nas.files import read_json
from nas.runs.folder import StepFolder
from nas.runs.results.fields import Role
from nas.runs.results.records import (
    RESULT_SCHEMA,
    QuickstartResult,
    Result,
    RunResult,
    SearchResult,
    SupernetResult,
    TrainResult,
)
from search_spaces import UserError

KINDS: dict[str, type[Result]] = {
    "supernet": SupernetResult,
    "search": SearchResult,
    "train": TrainResult,
    "run": RunResult,
    "quickstart": QuickstartResult,
}

R = TypeVar("R", bound=Result)


def load_result(path: Path, kind: type[R]) -> R:
    """Read a result of one kind.

    Args:
        path: a ``result.json``, or the folder that holds one.
        kind: one of the records.

    Raises:
        UserError: missing, truncated, not ours, of another kind, or with a field that is missing
            or does not fit; file and field are named.
    """
    path = _file(path)
    return parse_result(read_json(path), path, kind)


def parse_result(data: Mapping[str, Any], path: Path, kind: type[R]) -> R:
    """As `load_result`, of what was read from ``path`` already."""
    found = _parse(data, path)
    if not isinstance(found, kind):
        wanted = next(step for step, record in KINDS.items() if record is kind)
        raise UserError(f"{path}: the result of step {found.step!r}, not of step {wanted!r}")
    return found


def load_any(path: Path) -> Result:
    """Read a result of whatever kind the file says it is.

    Args:
        path: a ``result.json``, or the folder that holds one.

    Raises:
        UserError: as `load_result`.
    """
    path = _file(path)
    return _parse(read_json(path), path)


def _file(path: Path) -> Path:
    return StepFolder(path).result if path.is_dir() else path


def _parse(data: Mapping[str, Any], path: Path) -> Result:
    if "schema" not in data:
        raise UserError(f"{path}: not a result of this project: it has no 'schema'")
    if data["schema"] != RESULT_SCHEMA:
        raise UserError(
            f"{path}: result has schema {data['schema']!r}, this version reads {RESULT_SCHEMA}"
        )
    data = _completed(data)
    kind = KINDS.get(data["step"]) if isinstance(data["step"], str) else None
    if kind is None:
        raise UserError(f"{path}: no result of a run in here (step = {data['step']!r})")
    try:
        # of JSON, in which a list is a tuple and nothing else passes for another type
        found: Result = TypeAdapter(kind).validate_json(json.dumps(data))
    except ValidationError as error:
        raise _refusal(error, path) from None
    return found


def _refusal(error: ValidationError, path: Path) -> UserError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return UserError(f"{path}: {where} is missing")
    message = first["msg"].removeprefix("Value error, ")
    return UserError(f"{path}: {where}: {' '.join(message.split())}")


# files of earlier versions ----------------------------------------------------------------------

NAMES: dict[str, Role] = {"largest": "largest", "scaled": "scaled", "discovered": "discovered"}
"""Trainings that were always called by their role."""

BASELINES: dict[str, Role] = {
    "scaled": "scaled",
    "scaled-smallest-kernels": "scaled",
    "pruned": "pruned",
}
"""What a network of equal cost was called → its role."""


def _completed(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of an earlier version left to be understood, said."""
    found = {"step": data.get("kind"), "version": "", "date": "", **data}
    if found["step"] == "train" and "role" not in found:
        baseline = found.get("baseline")
        if isinstance(baseline, Mapping):
            role = BASELINES.get(str(baseline.get("kind")))
        else:
            role = NAMES.get(str(found.get("name")))
        found["role"] = role or "other"
    return found
