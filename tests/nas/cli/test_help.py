"""Every command shows how it is typed, and every example is one."""

import os
import shlex
import subprocess
import sys

import pytest
import typer

from nas.cli import main
from nas.cli.app import app
from nas.cli.examples import EXAMPLES
from nas.recipe.loading import load_experiment


def commands(group, *words):
    """Names of all commands below a group, and the commands."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *words, name)
        else:
            yield " ".join([*words, name]), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_in_examples_that_can_be_typed(capfd, name):
    assert main([*name.split(), "--help"]) == 0
    shown = " ".join(capfd.readouterr().out.split("Examples:\n")[1].split())
    for line in EXAMPLES[name]:
        assert line in shown
        words = shlex.split(line)[1 + len(name.split()) :]
        context = COMMANDS[name].make_context(name, words)
        if context.params.get("overrides"):
            load_experiment("digits_quickstart", list(context.params["overrides"]))


def test_the_shell_completes_recipes():
    done = subprocess.run(
        [sys.executable, "-m", "nas"],
        env={
            **os.environ,
            "_NAS_COMPLETE": "complete_bash",
            "COMP_WORDS": "nas run digits_q",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["digits_quickstart"]
