"""What ``result.json`` holds: a record for each kind of result, read and written here alone."""

from nas.runs.results.fields import Budget, Encoder, Layer, Reference, Role, Shipped
from nas.runs.results.reading import load_any, load_result, parse_result
from nas.runs.results.records import (
    RESULT_SCHEMA,
    Compared,
    EvaluateResult,
    FamilyMember,
    QuickstartResult,
    Result,
    RunResult,
    SearchResult,
    SupernetResult,
    Trained,
    TrainResult,
)

__all__ = [
    "RESULT_SCHEMA",
    "Budget",
    "Compared",
    "Encoder",
    "EvaluateResult",
    "FamilyMember",
    "Layer",
    "QuickstartResult",
    "Reference",
    "Result",
    "Role",
    "RunResult",
    "SearchResult",
    "Shipped",
    "SupernetResult",
    "TrainResult",
    "Trained",
    "load_any",
    "load_result",
    "parse_result",
]
