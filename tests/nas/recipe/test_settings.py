"""One checker behind every registry: what it lets pass, and what it refuses in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from nas.benchmarks import run
from nas.recipe.experiment import Named
from nas.recipe.loading import load_experiment
from nas.recipe.settings import checked
from nas.recipe.strategies import open_strategy
from nas.recipe.tasks import open_task
from nas.steps.problem import problem_of
from nas.steps.search import check_evaluator, optimizer_for
from search_spaces import UserError


def takes(
    data: object,
    *,
    count: Annotated[int, Field(ge=1)] = 1,
    share: float = 0.5,
    flag: bool = False,
    path: Path | None = None,
    kernels: tuple[int, ...] = (3,),
    groups: int | Literal["image"] = 4,
    anything: Any = None,
) -> None:
    """A function with settings of every kind."""


def check(**given: object) -> dict[str, Any]:
    return checked(takes, given, where="task.settings", of="task mine", arguments=("data",))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"count": 2}, {"count": 2}),
        ({"count": 2.0}, {"count": 2}),
        ({"share": 1}, {"share": 1.0}),
        ({"flag": True}, {"flag": True}),
        ({"path": "a/b"}, {"path": Path("a/b")}),
        ({"path": None}, {"path": None}),
        ({"kernels": [3, 5]}, {"kernels": (3, 5)}),
        ({"groups": "image"}, {"groups": "image"}),
        ({"anything": {"a": [1, "b"]}}, {"anything": {"a": [1, "b"]}}),
    ],
)
def test_values_get_the_type_that_is_asked_for(given, wanted):
    found = check(**given)
    assert found == wanted
    assert [type(v) for v in found.values()] == [type(v) for v in wanted.values()]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 2.5}, "task.settings.count = 2.5: input should be a valid integer"),
        ({"count": "2"}, "task.settings.count = '2': input should be a valid integer"),
        ({"count": True}, "task.settings.count = True: input should be a valid integer"),
        ({"count": 0}, "task.settings.count = 0: input should be greater than or equal to 1"),
        ({"count": None}, "task.settings.count = None: input should be a valid integer"),
        ({"share": "half"}, "task.settings.share = 'half': input should be a valid number"),
        ({"share": float("nan")}, "task.settings.share = nan: must be finite"),
        ({"flag": 1}, "task.settings.flag = 1: input should be a valid boolean"),
        ({"groups": "all"}, "input should be a valid integer or 'image'"),
        ({"kernels": [3, 5.5]}, "task.settings.kernels"),
        ({"cuont": 2}, "task.settings: unknown setting of task mine 'cuont'; did you mean 'count'"),
        ({"data": 2}, "unknown setting of task mine 'data'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_one_line(given, words):
    with pytest.raises(UserError) as refusal:
        check(**given)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_setting_without_a_default_must_be_given():
    def needs(*, alpha: float) -> None: ...

    with pytest.raises(UserError, match=r"task\.settings\.alpha is missing"):
        checked(needs, {}, where="task.settings", of="task mine")


def recipe(*overrides: str) -> Any:
    return load_experiment("digits_quickstart", ["search.metric=macs", *overrides])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("search.optimizers.mcd.samples=2.5", "search.optimizers.mcd.samples = 2.5: "),
        ("search.optimizers.mcd.iterations=2.5", "search.optimizers.mcd.iterations = 2.5: "),
        ("search.optimizers.mcd.iterations=true", "search.optimizers.mcd.iterations = True: "),
        ("search.optimizers.mcd.sampels=2", "did you mean 'samples'"),
        ("search.optimizers.random.samples=2.5", "search.optimizers.random.samples = 2.5: "),
        ("search.optimizers.tpe.iterations='3'", "search.optimizers.tpe.iterations = '3': "),
        ("search.optimizers.netadapt.rule=3", "search.optimizers.netadapt.rule = 3: "),
        ("search.optimizers.mdc.samples=2", "unknown optimizer 'mdc'; did you mean 'mcd'"),
        ("search.optimizer=mdc", "search.optimizer: unknown optimizer 'mdc'"),
    ],
)
def test_settings_of_every_optimizer_are_checked(override, words):
    problem = problem_of(recipe())
    with pytest.raises(UserError) as refusal:
        optimizer_for(recipe(override), problem)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("task.settings.padding=1.5", "task.settings.padding = 1.5: "),
        ("task.settings.padding=true", "task.settings.padding = True: "),
        ("task.settings.pading=1", "unknown setting of task digits 'pading'; did you mean"),
        ("task.name=digit", "task: unknown task 'digit'; did you mean 'digits'"),
        ("supernet.strategy.settings.groups=2.5", "supernet.strategy.settings.groups = 2.5: "),
        ("supernet.strategy.settings.low='0'", "supernet.strategy.settings.low = '0': "),
        ("supernet.strategy.settings.widden=0", "did you mean 'widen'"),
        ("supernet.strategy.name=sandwhich", "supernet.strategy: unknown strategy 'sandwhich'"),
        ("search.evaluator={name: fine_tuning, settings: {steps: 2.5}}", "steps = 2.5: "),
        ("search.evaluator={name: fine_tunin}", "search.evaluator: unknown evaluator"),
        ("search.evaluator={nam: fine_tuning}", "did you mean 'name'"),
        ("search.metrics.mine={nam: a:b}", "did you mean 'name'"),
        ("search.metrics.mine=3", "search.metrics.mine = 3"),
        ("space.settings.resolution=32.5", "space.settings.resolution = 32.5: "),
        ("space.settings.bypass='no'", "space.settings.bypass = 'no': "),
        ("space.settings.widht=1", "unknown setting of search space mobilenet_v3_tiny 'widht'"),
        ("supernet.epochs=true", "supernet.epochs = True: "),
        ("supernet.epochs='3'", "supernet.epochs = '3': "),
        ("supernet.epochs=2.5", "supernet.epochs = 2.5: "),
    ],
)
def test_what_a_recipe_names_is_checked(override, words):
    with pytest.raises(UserError) as refusal:
        experiment = recipe(override)
        open_strategy(experiment.supernet.strategy)
        check_evaluator(experiment)
        open_task(experiment)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_every_setting_of_a_strategy_that_has_none_is_refused():
    with pytest.raises(UserError, match="unknown setting of strategy largest 'low'"):
        open_strategy(Named(name="largest", settings={"low": 0.5}))


def test_options_of_a_benchmark_are_checked():
    with pytest.raises(UserError, match=r"--option\.repeats = 2\.5: input should be a valid"):
        run("ordered-dropout", {"repeats": 2.5})
    with pytest.raises(UserError, match="nas benchmark: unknown benchmark 'ordered'"):
        run("ordered", {})


def test_numbers_may_be_written_as_yaml_1_2_has_them():
    experiment = recipe("supernet.lr=1e-3", "supernet.epochs=2.0", "train.weight_decay=1E-4")
    assert experiment.supernet.lr == 0.001 and experiment.train.weight_decay == 0.0001
    assert experiment.supernet.epochs == 2 and type(experiment.supernet.epochs) is int
