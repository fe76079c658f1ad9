"""Architectures from the files that commands write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.runs.networks import load_architecture
from search_spaces import UserError, space


def test_a_search_that_ended_early_says_why_and_still_gives_its_members(tmp_path: Path) -> None:
    architecture = space("mobilenet_v3_tiny").largest()
    result = {
        "schema": 1,
        "kind": "search",
        "family": [
            {
                "iteration": 0,
                "slot": 0,
                "score": {"name": "accuracy", "value": 90.0, "unit": "%"},
                "loss": 0.3,
                "metrics": {"latency": 1.5},
                "architecture": architecture.to_dict(),
            }
        ],
        "best": None,
        "stopped": "iteration 3: latency blocks at its target of 1.2 ms",
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"latency blocks.*--member"):
        load_architecture(path)
    assert load_architecture(path, member=0) == architecture
