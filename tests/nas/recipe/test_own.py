"""Whatever a recipe names by a word it also names as FILE.py:NAME of the user's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.recipe.loading import load_experiment
from nas.recipe.strategies import open_strategy
from nas.recipe.tasks import open_task
from nas.steps import train_supernet
from nas.steps.problem import problem_of
from nas.steps.search import check_evaluator, optimizer_for, search
from search_spaces import UserError

MINE = """
from nas.optimizers import MCD
from nas.search.evaluators import Evaluation
from nas.tasks.digits import digits
from supernet.strategies import Largest


def open_task(*, data, resolution, channels, classes, seed, holdout, padding: int = 0):
    return digits(data=data, resolution=resolution, channels=channels, classes=classes,
                  seed=seed, holdout=holdout, padding=padding)


def half_a_task(**arguments):
    class Half:
        name = "half"
        score_name = "top-1"
    return Half()


def old_task(data, resolution):
    return None


def broken_task(**arguments):
    raise KeyError("no such column")


class Plain(Largest):
    pass


class Mine(MCD):
    name = "mine"

    def __init__(self, problem, *, samples: int = 2, iterations: int = 1):
        super().__init__(problem, samples=samples, layers=2, iterations=iterations)


class Asks:
    def __init__(self, problem):
        self.name = "asks"


def by_size(experiment, weights, folder, *, sign: float = 1.0):
    class BySize:
        score_name, unit, higher_is_better = "size", "", True

        def evaluate(self, candidate):
            return Evaluation(sign * sum(candidate.architecture.values()), 0.0, 0.0)

        def advance(self, winner):
            pass

        def describe(self):
            return {"name": "by_size", "sign": sign}

    return BySize()


def cost(network, *, factor: float = 1.0):
    return factor * network.macs
"""

TINY = [
    "threads=1",
    "task={name: mine.py:open_task, settings: {padding: 1}}",
    "supernet.strategy={name: mine.py:Plain}",
    "supernet.epochs=1",
    "supernet.steps_per_epoch=1",
    "supernet.batch_size=16",
    "supernet.probe_epochs=0",
    "search.optimizer=mine.py:Mine",
    "search.optimizers={'mine.py:Mine': {samples: 3}}",
    "search.evaluator={name: mine.py:by_size, settings: {sign: 2}}",
    "search.metric=cost",
    "search.metrics.cost={name: mine.py:cost, settings: {factor: 2}}",
    "search.budget=95%",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with code of the user's own."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine.py").write_text(MINE)
    monkeypatch.chdir(home)
    return home


def test_a_run_of_nothing_but_own_parts_is_found_again_from_elsewhere(
    folder, tmp_path, monkeypatch
):
    experiment = load_experiment("digits_quickstart", TINY)
    train_supernet(experiment, tmp_path / "run")
    result = search(experiment, tmp_path / "run")
    family = result.family
    assert len(family) == 2 and family[0].score.name == "size"
    sizes = [2 * sum(m.architecture.values()) for m in family]
    assert [m.score.value for m in family] == sizes
    assert (
        family[0].metrics["cost"]
        == 2 * experiment.search_space().describe(experiment.search_space().largest()).macs
    )

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    stored = load_experiment(tmp_path / "run" / "search" / "main" / "config.yaml")
    assert open_task(stored).name == "digits"
    assert search(stored, tmp_path / "run", resume=True) == result


def test_a_recipe_without_own_parts_names_no_folder():
    assert load_experiment("digits_quickstart").code_folder is None


def recipe(*overrides: str):
    return load_experiment("digits_quickstart", ["search.metric=macs", *overrides])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("task.name=mine.py:half_a_task", "task mine.py:half_a_task: Half has no 'unit'"),
        ("task.name=mine.py:old_task", "takes no 'channels'; it is called with data, resolution"),
        ("task.name=mine.py:broken_task", "mine.py:broken_task raised KeyError: 'no such column'"),
        ("task.name=mine.py:open_tsk", "did you mean 'open_task'"),
        ("task.name=other.py:open_task", "there is no file other.py"),
        ("task.name=nowhere:open_task", "there is no module 'nowhere' here or installed"),
        ("task={name: mine.py:open_task, settings: {pading: 1}}", "did you mean 'padding'"),
        ("task={name: mine.py:open_task, settings: {padding: 1.5}}", "padding = 1.5: "),
        ("supernet.strategy={name: mine.py:Asks}", "supernet.strategy.settings.problem is missing"),
        ("search.optimizer=mine.py:Asks", "optimizer mine.py:Asks: Asks has no 'iterations'"),
        ("search.optimizers={'mine.py:Mine': {samples: 2.5}}", "mine.py:Mine.samples = 2.5: "),
        ("search.optimizers={'mine.py:Mine': {sample: 2}}", "did you mean 'samples'"),
        ("search.evaluator={name: mine.py:by_size, settings: {sgn: 1}}", "did you mean 'sign'"),
        ("search.evaluator={name: mine.py:cost}", "takes no 'experiment'"),
        ("search.metrics.macs={name: mine.py:cost, settings: {factor: x}}", "factor = 'x': "),
        ("search.metrics.macs=cost", "is no MODULE:FUNCTION and no FILE.py:FUNCTION"),
    ],
)
def test_what_is_wrong_with_own_parts_is_said_in_one_line(folder, override, words):
    with pytest.raises(UserError) as refusal:
        experiment = recipe(override)
        open_strategy(experiment.supernet.strategy, experiment.code_folder)
        check_evaluator(experiment)
        optimizer_for(experiment, problem_of(experiment))
        open_task(experiment)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_task_of_another_input_is_refused(folder):
    text = MINE.replace("classes=classes,\n", "classes=10,\n")
    (folder / "mine.py").write_text(text)
    experiment = recipe("task.name=mine.py:open_task", "space.settings.classes=7")
    with pytest.raises(UserError, match="has classes = 10, the search space classes = 7"):
        open_task(experiment)


@pytest.mark.parametrize("name", ["mine.py:function", "mine:function"])
def test_files_of_the_user_hide_no_module(name, tmp_path):
    for taken in ("lut", "nas", "types", "yaml"):
        (tmp_path / f"{taken}.py").write_text("raise RuntimeError('the user\\'s own file')")
    (tmp_path / "neighbour.py").write_text("value = 7")
    (tmp_path / "mine.py").write_text(
        "from neighbour import value\n\n\ndef function():\n    return value\n"
    )
    code = (
        "from nas.own_code import load_function\n"
        f"assert load_function({name!r})() == 7\n"
        "import sys\n"
        "for taken in ('lut', 'types', 'yaml'):\n"
        "    sys.modules.pop(taken, None)\n"
        "import lut, types, yaml\n"
        "print(lut.__file__)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == root / "lut" / "__init__.py"
