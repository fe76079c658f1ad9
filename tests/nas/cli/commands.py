"""Calling whole commands through the entry point's function, in this process."""

from __future__ import annotations

import json

from nas.cli import main


def call(capfd, *arguments: str) -> dict:
    """Run with --json; standard output holds exactly the object that is returned."""
    assert main([*arguments, "--json"]) == 0, capfd.readouterr().err
    return json.loads(capfd.readouterr().out)


def refused(capfd, *arguments: str) -> str:
    """Run what must be refused: exit 2 and one line on standard error, nothing else."""
    assert main(list(arguments)) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("nas: ") and err.count("\n") == 1, err
    return err
