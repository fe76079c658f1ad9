"""Mutated files through commands, and what came of each."""

from __future__ import annotations

import contextlib
import io
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nas.benchmarks.mutations.material import Target, prepare
from nas.benchmarks.mutations.mutate import blob, database, rows, tensors, text
from nas.progress import SILENT, Reporter
from search_spaces import UserError

OUTCOMES = ("accepted", "refused", "traceback", "hang", "long")
"""``long``: refused in more than one line, or with another status than 2."""


class _Hang(BaseException):
    """A command took too long; no ``except Exception`` holds it up."""


def run(
    inputs: int = 5000,
    seed: int = 0,
    seconds: int = 30,
    only: str = "",
    examples: int = 5,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Share of mutated files that commands accept or refuse in one line, with exit 2.

    Recipes, comparisons, architectures, results, configurations, latency tables, measurements,
    weights, studies and exported files, each made by the project, changed at random and given to
    a command that reads it.

    Args:
        inputs: how many.
        seed: of the changes.
        seconds: a command that takes longer hangs.
        only: one kind of file.
        examples: different failures that are told.
        reporter: shows progress.
    """
    generator = random.Random(seed)
    counts: dict[str, Counter[str]] = {}
    failures: dict[tuple[str, str, str], str] = {}
    with tempfile.TemporaryDirectory() as temporary, _settled(Path(temporary)):
        folder = Path(temporary) / "files"
        targets = [t for t in prepare(folder, _call) if only in ("", t.kind)]
        kept = Path(temporary) / "kept"
        shutil.copytree(folder, kept)
        for target in targets:
            _accepted(target, folder, kept)
        weights = [t.share for t in targets]
        with reporter.work("mutated files", inputs) as bar:
            for _ in range(inputs):
                target = generator.choices(targets, weights)[0]
                outcome, said = _try(target, folder, kept, generator, seconds)
                counts.setdefault(target.kind, Counter())[outcome] += 1
                if outcome in OUTCOMES[2:]:
                    failures.setdefault((target.kind, outcome, said[-200:]), said[-1500:])
                bar.advance()
    good = sum(c["accepted"] + c["refused"] for c in counts.values())
    return {
        "name": "mutations",
        "value": good / inputs,
        "unit": "share accepted or refused in one line",
        "details": {
            "inputs": inputs,
            "seed": seed,
            **{k: {o: c[o] for o in OUTCOMES} for k, c in sorted(counts.items())},
            "examples": [
                {"kind": kind, "outcome": outcome, "said": said}
                for (kind, outcome, _), said in list(failures.items())[:examples]
            ],
        },
    }


def _accepted(target: Target, folder: Path, kept: Path) -> None:
    """A sound file passes: a command that reads another file would refuse every change."""
    outcome, said = _outcome(target, folder, kept, seconds=300)
    if outcome != "accepted":
        raise UserError(f"mutations: a sound {target.kind} is refused: {said[-500:]}")


def _try(
    target: Target, folder: Path, kept: Path, generator: random.Random, seconds: int
) -> tuple[str, str]:
    """One mutated file through its command."""
    path = target.file
    source = path.read_bytes()
    if generator.random() < 0.03:  # another file in its place
        mutated = generator.choice([p for p in kept.rglob("*") if p.is_file()]).read_bytes()
    elif path.suffix in (".json", ".yaml"):
        mutated = text(source.decode(), generator, yaml=path.suffix == ".yaml")
    elif path.suffix == ".csv":
        mutated = rows(source.decode(), generator)
    elif path.suffix == ".db":
        mutated = database(source, generator)
    elif path.suffix == ".safetensors":
        mutated = tensors(source, generator)
    else:
        mutated = blob(source, generator)
    path.write_bytes(mutated)
    return _outcome(target, folder, kept, seconds)


def _outcome(target: Target, folder: Path, kept: Path, seconds: int) -> tuple[str, str]:
    """What a command makes of its file as it lies there; everything is as before afterwards."""
    words = [word.replace("{}", str(folder)) for word in target.command]
    said = io.StringIO()
    # what a command may write next to the file
    mark = set(folder.rglob("*"))
    try:
        with contextlib.redirect_stderr(said), _limit(seconds):
            status = _call_apart(words, said) if target.apart else _call(words)
    except _Hang as late:
        return "hang", f"{' '.join(words)}\n{late}"
    finally:
        for new in sorted(set(folder.rglob("*")) - mark, reverse=True):  # folders after their files
            new.rmdir() if new.is_dir() else new.unlink()
        for name in kept.rglob("*"):
            place = folder / name.relative_to(kept)
            if name.is_file() and (not place.exists() or _changed(place, name)):
                shutil.copy2(name, place)
    if status == 0:
        return "accepted", ""
    message = said.getvalue()
    if "Traceback" in message:
        return "traceback", message
    lines = [line for line in message.splitlines() if line.startswith("nas: ")]
    return ("refused" if status == 2 and len(lines) == 1 else "long"), message


def _changed(path: Path, kept: Path) -> bool:
    here, there = path.stat(), kept.stat()
    return (here.st_size, here.st_mtime_ns) != (there.st_size, there.st_mtime_ns)


def _call(words: Sequence[str]) -> int:
    """A command's status, as ``python -m nas`` would have it: the command line is above us."""
    arguments, sys.argv = sys.argv, ["nas", *words]
    try:
        runpy.run_module("nas", run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    finally:
        sys.argv = arguments
    return 0


def _call_apart(words: Sequence[str], said: io.StringIO) -> int:
    """As `_call`, in a copy of this process; what it says on standard error goes to ``said``."""
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if not child:
            os.dup2(errors.fileno(), 2)
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  open to the end
            signal.alarm(0)
            status = 1
            try:
                status = _call(words)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        try:
            _, ended = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        errors.seek(0)
        said.write(errors.read().decode(errors="replace"))
    return os.waitstatus_to_exitcode(ended)


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def late(number: int, frame: Any) -> None:
        raise _Hang("".join(traceback.format_stack(frame, 12)))

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _settled(folder: Path) -> Iterator[None]:
    """Standard output is nobody's, and what is cached is this benchmark's."""
    sys.stdout.flush()
    saved, before = os.dup(1), os.environ.get("XDG_CACHE_HOME")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(silent)
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before
