"""Where every file of a run lies, and whose a folder is.

``runs/<experiment>/{supernet, search/<name>, train/<name>}``. A folder belongs to one experiment;
what it holds is never overwritten by another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nas.files import write_text
from nas.recipe.experiment import Experiment
from nas.recipe.loading import to_yaml
from search_spaces import UserError

SEARCH = "main"
"""The name of a search where the user gives none."""

TRAINING = "discovered"
"""The name of a training where the user gives none."""


@dataclass(frozen=True)
class StepFolder:
    """The folder of one step: the super-network's, a search's or a training's."""

    path: Path

    @property
    def name(self) -> str:
        """Of the search or training."""
        return self.path.name

    @property
    def config(self) -> Path:
        """The experiment as resolved."""
        return self.path / "config.yaml"

    @property
    def result(self) -> Path:
        """What the step came to, written at its end (`nas.runs.results`)."""
        return self.path / "result.json"

    @property
    def weights(self) -> Path:
        """The trained weights, with the architecture they belong to."""
        return self.path / "weights.safetensors"

    @property
    def architecture(self) -> Path:
        """The network that a training is of."""
        return self.path / "architecture.json"

    @property
    def last(self) -> Path:
        """The checkpoint that an interrupted training goes on from."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the best score on the hold-out split."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def examples(self) -> Path:
        """A few test images with what the network makes of them."""
        return self.path / "examples.png"

    @property
    def exported(self) -> Path:
        """The deployable file, without the suffix that its format adds."""
        return self.path / "network"

    @property
    def study(self) -> Path:
        """A search's candidates, where no other database is given."""
        return self.path / "study.db"

    @property
    def start(self) -> Path:
        """The network that a search was started from, where no run trained it."""
        return self.path / "start.safetensors"

    def winner(self, iteration: int) -> Path:
        """The weights that a search by fine-tuning kept of an iteration."""
        return self.path / "weights" / f"{iteration}.safetensors"

    def candidate(self, iteration: int, slot: int) -> Path:
        """The weights of a candidate, until its iteration is decided."""
        return self.path / "candidates" / str(iteration) / f"{slot}.safetensors"

    def log(self, worker: int) -> Path:
        """What a further worker of this machine said."""
        return self.path / f"worker-{worker}.log"

    @property
    def interrupted(self) -> bool:
        """True where a training has a checkpoint."""
        return self.last.exists() or self.best.exists()

    @property
    def holds_work(self) -> bool:
        """False where a run ended before it had anything to lose, say by a wrong setting."""
        own = {self.config.name, self.architecture.name}
        return any(p.name not in own and not p.name.startswith("events.") for p in self.files())

    @property
    def spent(self) -> tuple[Path, ...]:
        """What nothing reads again once the step is finished: its checkpoints, and candidates
        that were not chosen; nothing before."""
        if not self.result.exists():
            return ()
        found = (self.last.parent, self.path / "candidates")
        return tuple(path for path in found if path.is_dir() and not path.is_symlink())

    def files(self) -> list[Path]:
        """Everything in it; nothing where it is missing."""
        return sorted(self.path.iterdir()) if self.path.is_dir() else []


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, with those of its steps."""

    path: Path

    @property
    def result(self) -> Path:
        """What all steps of the run came to."""
        return self.path / "result.json"

    @property
    def report(self) -> Path:
        """The page about the run."""
        return self.path / "report.html"

    @property
    def supernet(self) -> StepFolder:
        """Of step 1."""
        return StepFolder(self.path / "supernet")

    def search(self, name: str = SEARCH) -> StepFolder:
        """Of a search; a UserError where the name is that of another place."""
        return StepFolder(self.path / "search" / _plain(name))

    def training(self, name: str = TRAINING) -> StepFolder:
        """Of a training of step 3; a UserError where the name is that of another place."""
        return StepFolder(self.path / "train" / _plain(name))

    @property
    def searches(self) -> tuple[StepFolder, ...]:
        """The searches that are there, finished or not, by name."""
        return _steps(self.path / "search")

    @property
    def trainings(self) -> tuple[StepFolder, ...]:
        """The trainings that are there, finished or not, by name."""
        return _steps(self.path / "train")


def _plain(name: str) -> str:
    """A name that is one part of a path, so that it leads nowhere else."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
        raise UserError(f"--name {name!r}: a name is no path; leave out / and \\, . and ..")
    return name


def _steps(folder: Path) -> tuple[StepFolder, ...]:
    inner = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(StepFolder(path) for path in inner if path.is_dir())


def step_folder(path: Path) -> StepFolder:
    """The folder that a path names: itself, or that of a file in it."""
    return StepFolder(path if path.is_dir() else path.parent)


SHARED = ("seed", "space", "task")
"""What every step depends on, beside its own section."""

IGNORED = {
    "task.data",
    *(f"{s}.{k}" for s in ("supernet", "train") for k in ("accumulate", "checkpoint_seconds")),
}
"""Where data lies, what is computed at once and how often work is saved change no result, or its
last bits only."""


def default_out(experiment: str) -> Path:
    """Where a run of this experiment goes unless ``--out`` says otherwise."""
    return Path("runs") / experiment


def claim(
    folder: StepFolder, experiment: Experiment, sections: Sequence[str], *, resume: bool
) -> bool:
    """Take a step's folder for this experiment; True where the step is finished already.

    Args:
        folder: made where it is missing, with the configuration in it.
        experiment: as resolved.
        sections: those that the step depends on, beside seed, space and task.
        resume: going on with what is there is wanted.

    Raises:
        UserError: the folder holds another experiment, or work that ``resume`` would keep.
            Nothing was changed.
    """
    finished = check_claim(folder, experiment, sections, resume=resume)
    if not finished:
        write_text(folder.config, to_yaml(experiment.shareable()))
    return finished


def check_claim(
    folder: StepFolder, experiment: Experiment, sections: Sequence[str], *, resume: bool
) -> bool:
    """As `claim`, and nothing is written."""
    finished = folder.result.exists()
    if folder.config.exists() and folder.holds_work:
        _refuse_other(folder.config, experiment, (*SHARED, *sections))
        if finished and not resume:
            raise UserError(
                f"{folder.path}: this step is finished; keep it with --resume or choose another "
                "--out"
            )
        if not resume and folder.interrupted:
            raise UserError(
                f"{folder.path}: holds an interrupted run; go on with --resume or choose another "
                "--out"
            )
    elif not folder.config.exists() and folder.files():
        raise UserError(f"{folder.path}: is not empty and no run of ours; choose another --out")
    return finished


def stored_config(path: Path) -> Path:
    """The ``config.yaml`` that belongs to a run folder, a step's folder or a file in one.

    Raises:
        UserError: there is none.
    """
    own = step_folder(path)
    run = RunFolder(own.path)
    for step in (own, *run.trainings, run.supernet):
        if step.config.is_file():
            return step.config
    raise UserError(f"{path}: no {own.config.name} beside it; name the recipe with --experiment")


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
