"""The page "Start from a network of your own", as a new user would follow it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "own-network.md"


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_describe_to_tflite_outside_the_project(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    (tmp_path / "my_network.py").write_text(blocks[0])
    (tmp_path / "shrink.py").write_text(blocks[1])
    nas = (sys.executable, "-m", "nas")
    described = json.loads(
        run(tmp_path, *nas, "describe", "my_network.py:build", "--resolution", "32", "--json")
    )
    printed = run(tmp_path, sys.executable, "shrink.py")
    assert f"of {described['macs']:,} MACs" in printed
    exported = json.loads(run(tmp_path, *nas, "export", "small", "--format", "tflite", "--json"))
    assert exported["macs"] <= described["macs"] / 2
    assert (tmp_path / "small" / "network.tflite").read_bytes()[4:8] == b"TFL3"
