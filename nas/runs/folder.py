"""Run folders: ``runs/<experiment>/{supernet, search/<name>, train/<name>}``.

A folder belongs to one experiment. What it holds is never overwritten by another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nas.files import write_text
from nas.recipe.experiment import Experiment
from nas.recipe.loading import to_yaml
from search_spaces import UserError

RESULT_SCHEMA = 1
CONFIG = "config.yaml"
RESULT = "result.json"

SHARED = ("seed", "space", "task")
"""What every step depends on, beside its own section."""

IGNORED = {
    "task.data",
    *(f"{s}.{k}" for s in ("supernet", "train") for k in ("accumulate", "checkpoint_seconds")),
}
"""Where data lies, what is computed at once and how often work is saved change no result, or its
last bits only."""


def default_out(experiment: Experiment) -> Path:
    """Where a run goes unless ``--out`` says otherwise."""
    return Path("runs") / experiment.name


def claim(folder: Path, experiment: Experiment, sections: Sequence[str], *, resume: bool) -> bool:
    """Take a step's folder for this experiment; True where the step is finished already.

    Args:
        folder: of the step; made where it is missing, with ``config.yaml`` in it.
        experiment: as resolved.
        sections: those that the step depends on, beside seed, space and task.
        resume: going on with what is there is wanted.

    Raises:
        UserError: the folder holds another experiment, or work that ``resume`` would keep.
            Nothing was changed.
    """
    config = folder / CONFIG
    finished = (folder / RESULT).exists()
    if config.exists() and _holds_work(folder):
        _refuse_other(config, experiment, (*SHARED, *sections))
        if finished and not resume:
            raise UserError(
                f"{folder}: this step is finished; keep it with --resume or choose another --out"
            )
        if not resume and any((folder / "checkpoints").glob("*.safetensors")):
            raise UserError(
                f"{folder}: holds an interrupted run; go on with --resume or choose another --out"
            )
    elif not config.exists() and folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty and no run of ours; choose another --out")
    if not finished:
        write_text(config, to_yaml(experiment.shareable()))
    return finished


def _holds_work(folder: Path) -> bool:
    """False where a run ended before it had anything to lose, say because of a wrong setting."""
    beside = {CONFIG, "architecture.json"}
    return any(
        path.name not in beside and not path.name.startswith("events.") for path in folder.iterdir()
    )


def stored_config(path: Path) -> Path:
    """The ``config.yaml`` that belongs to a run folder, a step's folder or a file in one.

    Raises:
        UserError: there is none.
    """
    folder = path if path.is_dir() else path.parent
    candidates = [folder / CONFIG, *sorted(folder.glob(f"train/*/{CONFIG}"))]
    candidates += [folder / "supernet" / CONFIG]
    for config in candidates:
        if config.is_file():
            return config
    raise UserError(f"{path}: no {CONFIG} beside it; name the recipe with --experiment")


def _refuse_other(config: Path, experiment: Experiment, sections: Sequence[str]) -> None:
    try:
        stored = yaml.safe_load(config.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{config}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(stored, Mapping):
        raise UserError(f"{config}: not a recipe; choose another --out")
    own = experiment.shareable().to_dict()
    for section in sections:
        found = difference(section, stored.get(section), own[section])
        if found is not None:
            raise UserError(
                f"{config.parent}: holds a different experiment ({found}); choose another --out"
            )


def difference(name: str, there: Any, here: Any) -> str | None:
    """The first field that differs, in words; None where all that matters is equal."""
    if name in IGNORED:
        return None
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*there, *(k for k in here if k not in there)]:
            found = difference(f"{name}.{key}", there.get(key), here.get(key))
            if found is not None:
                return found
        return None
    if there == here:
        return None
    return f"{name} is {_brief(there)} there and {_brief(here)} here"


def _brief(value: Any, most: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
