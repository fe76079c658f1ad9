"""Ctrl-C, as a terminal sends it: to all processes of a command. One line and 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nas.runs.folder import RunFolder

FAST = ["--set=threads=1", "--set=accelerator=cpu", "--set=supernet.epochs=200"]

AT = """
import os, signal, sys, {module} as place
# as in a terminal: what runs in the background inherits that it is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
kept = place.{name}
def now(*arguments, **named):
    os.killpg(0, signal.SIGINT)
    return kept(*arguments, **named)
place.{name} = now
from nas.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A program that is interrupted as it calls a function."""


def interrupted(folder: Path, at: tuple[str, str], *arguments: str) -> str:
    """Standard error's last line of a command that is interrupted as it calls ``at``."""
    done = subprocess.run(
        [sys.executable, "-c", AT.format(module=at[0], name=at[1]), *arguments],
        cwd=folder,
        env={**os.environ, "NAS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("at", "arguments"),
    [
        (("nas.recipe.loading", "recipes"), ["run", "digits_quickstart"]),
        (("nas.benchmarks", "described"), ["benchmark", "list"]),
    ],
    ids=["run", "benchmark"],
)
def test_a_command_that_is_interrupted_says_so_in_a_line(tmp_path, at, arguments):
    assert interrupted(tmp_path, at, *arguments).startswith("nas: interrupted; what was written")


def test_a_training_that_is_interrupted_keeps_its_work(tmp_path):
    arguments = ["train-supernet", "digits_quickstart", *FAST]
    said = interrupted(tmp_path, ("nas.training.loop", "Journal"), *arguments)
    assert said.startswith("nas: stopped by SIGINT; epoch 1, step 1") and "--resume" in said
    assert RunFolder(tmp_path / "runs" / "digits_quickstart").supernet.last.exists()
