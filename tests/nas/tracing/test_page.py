"""The page "Start from a network of your own", as a new user would follow it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli import main

PAGE = Path(__file__).parents[3] / "docs" / "own-network.md"


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


NAS = (sys.executable, "-m", "nas")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.S)


def test_from_describe_to_tflite_with_the_pages_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them in order; only MACs in place of the latency, and fewer steps."""
    (tmp_path / "my_network.py").write_text(blocks("python")[0])
    (recipe,) = blocks("yaml")
    for long, short in (
        ("metric: latency", "metric: macs"),
        ("epochs: 20", "epochs: 1"),
        ("epochs: 10", "epochs: 1"),
        ("steps: 50", "steps: 1"),
        ("initial_reduction: 0.05", "initial_reduction: 0.2"),
    ):
        assert long in recipe
        recipe = recipe.replace(long, short)
    (tmp_path / "mine.yaml").write_text(recipe + "threads: 1\naccelerator: cpu\n")
    commands = [
        line.partition("#")[0].split()[1:]
        for block in blocks("sh")
        for line in block.splitlines()
        if "mine" in line or "my_network" in line
    ]
    assert [c[0] for c in commands] == [
        *("describe", "train-supernet", "search", "train", "evaluate", "export"),
        *("train", "train", "report"),
    ]
    monkeypatch.chdir(tmp_path)
    for command in commands:
        assert main(command) == 0
    exported = tmp_path / "runs" / "mine" / "train" / "discovered" / "network.tflite"
    assert exported.read_bytes()[4:8] == b"TFL3"


def test_a_training_loop_of_ones_own(tmp_path: Path) -> None:
    network, script = blocks("python")[:2]
    (tmp_path / "my_network.py").write_text(network)
    (tmp_path / "shrink.py").write_text(script)
    assert "MACs" in run(tmp_path, sys.executable, "shrink.py")
    exported = json.loads(run(tmp_path, *NAS, "export", "small", "--format", "tflite", "--json"))
    assert (tmp_path / "small" / "network.tflite").stat().st_size == exported["bytes"]
