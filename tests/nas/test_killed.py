"""SIGKILL at any moment, then --resume: the weights equal those of the uninterrupted run.

The commands run through the entry point, in processes forked from this one, which saves them the
imports. A killer thread would hit a random moment; killing inside the write of a checkpoint hits
the worst ones.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import nas.steps  # noqa: F401  imported before the processes fork
from nas.cli import main
from nas.runs import checkpoints as checkpoint
from search_spaces import space

SETTINGS = [
    "--set=space.settings.multiplier=0.5",
    "--set=supernet.epochs=2",
    "--set=supernet.steps_per_epoch=4",
    "--set=supernet.probe_epochs=1",
    "--set=supernet.checkpoint_seconds=0",
    "--set=train.epochs=2",
    "--set=train.steps_per_epoch=4",
    "--set=train.checkpoint_seconds=0",
    "--set=train.dropout=0.2",
    "--set=train.ema=0.9",
    "--set=threads=1",
    "--set=search.recalibration_images=64",
]


def command(arguments: list[str], kill: tuple[int, str] | None) -> None:
    """Run a command; ``kill`` (n, moment) ends it at the n-th checkpoint it writes."""
    torch.set_num_threads(1)
    if kill is not None:
        number, moment = kill
        written = 0
        replace = checkpoint.replacing

        def killed(path: Path) -> Any:
            nonlocal written
            written += 1
            context = replace(path)
            if written < number:
                return context
            file = context.__enter__()
            if moment == "half written":
                file.write(b"\x00" * 1000)
                file.flush()
            if moment == "renamed":
                write = file.write

                def and_die(data: bytes) -> None:
                    write(data)
                    context.__exit__(None, None, None)
                    os.kill(os.getpid(), signal.SIGKILL)

                file.write = and_die  # type: ignore[method-assign]
                return _Held(file)
            os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.replacing = killed  # type: ignore[assignment]
    os._exit(main(arguments))


class _Held:
    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> Any:
        return self.file

    def __exit__(self, *error: object) -> None:
        pass


def run(arguments: list[str], kill: tuple[int, str] | None = None) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=command, args=(arguments, kill))
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture
def architecture(tmp_path: Path) -> Path:
    """A small network for the digits."""
    tiny = space("mobilenet_v3_tiny", resolution=16, channels=1, multiplier=0.5)
    path = tmp_path / "half.json"
    path.write_text(json.dumps(tiny.scaled(0.5).to_dict()))
    return path


@pytest.mark.parametrize("step", ["train-supernet", "train"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, architecture, step):
    arguments = [step, "digits_quickstart", *SETTINGS]
    folder = "supernet"
    if step == "train":
        arguments.append(f"--architecture={architecture}")
        folder = "train/discovered"
    assert run([*arguments, f"--out={tmp_path / 'whole'}"]) == 0
    out = f"--out={tmp_path / 'killed'}"
    moments = [(1, "half written"), (2, "renamed"), (3, "begun"), (5, "half written")]
    for kill in moments:
        assert run([*arguments, out, "--resume"], kill) == -signal.SIGKILL
        assert not (tmp_path / "killed" / folder / "result.json").exists()
    assert run([*arguments, out, "--resume"]) == 0

    results = []
    for name in ("whole", "killed"):
        at = tmp_path / name / folder
        kind = "supernet" if step == "train-supernet" else "network"
        results.append(
            (
                checkpoint.load(at / "weights.safetensors", kind).tensors,
                json.loads((at / "result.json").read_text()),
            )
        )
    (whole, first), (killed, second) = results
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    for key in ("scores", "history", "updates", "data"):
        assert first[key] == second[key]


def test_sigterm_writes_a_checkpoint_and_says_how_to_go_on(tmp_path, architecture, capfd):
    def terminated(arguments: list[str]) -> None:
        save = checkpoint.save

        def and_signal(path: Path, stored: checkpoint.Checkpoint) -> None:
            checkpoint.save = save
            save(path, stored)
            os.kill(os.getpid(), signal.SIGTERM)

        checkpoint.save = and_signal
        os._exit(main(arguments))

    arguments = ["train", "digits_quickstart", *SETTINGS, f"--architecture={architecture}"]
    arguments.append(f"--out={tmp_path / 'run'}")
    process = multiprocessing.get_context("fork").Process(target=terminated, args=(arguments,))
    process.start()
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    assert "--resume" in capfd.readouterr().err.splitlines()[-1]
    assert main([*arguments]) == 2
    assert "interrupted run" in capfd.readouterr().err
    assert main([*arguments, "--resume"]) == 0
