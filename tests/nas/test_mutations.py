"""Files that were edited or damaged, through whole commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.nas.cli.commands import refused

TABLE = Path(__file__).parents[1] / "assets" / "table-1.json"


def test_mutated_files_are_accepted_or_refused_in_a_line():
    words = ["benchmark", "mutations", "--json", "--option=inputs=40", "--option=seed=11"]
    command = [sys.executable, "-m", "nas", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    details = result["details"]
    assert details["examples"] == [] and result["value"] == 1.0
    kinds = [v for v in details.values() if isinstance(v, dict)]
    assert sum(sum(kind.values()) for kind in kinds) == 40
    assert sum(kind["refused"] for kind in kinds) > 10


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[[14,14],[14,14]]", "[[14,1e400],[14,14]]"),
        ("[8,16]", "[8,1e400]"),
        ('"conditions":{}', '"conditions":7'),
        ('"notes":{}', '"notes":7'),
    ],
)
def test_an_edited_table_is_refused(tmp_path, capfd, old, new):
    path = tmp_path / "table.json"
    text = TABLE.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert "table" in refused(capfd, "lut", "query", "mobilenet_v2", f"--table={path}")


@pytest.mark.parametrize("state", ['{"a" 1}', '{"a": 1}', '{"architecture": 7}', "[]"])
def test_weights_with_an_edited_header_are_refused(tmp_path, capfd, state):
    path = tmp_path / "weights.safetensors"
    header = {"schema": "1", "kind": "network", "state": state}
    save_file({"x": torch.zeros(1)}, path, metadata=header)
    with safe_open(path, framework="pt") as file:
        assert json.dumps(file.metadata())  # sound for its library
    message = refused(capfd, "evaluate", str(path), "--experiment=digits_quickstart")
    assert str(path) in message
