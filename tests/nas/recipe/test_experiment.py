from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from nas.recipe.loading import load_experiment, recipes, to_yaml
from nas.runs.folder import StepFolder, claim
from search_spaces import UserError, space

RECIPE = {"space": {"name": "mobilenet_v3_tiny"}, "task": {"name": "digits"}}


def written(path: Path, data: object) -> Path:
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_shipped_recipe_loads_and_loads_again_from_what_it_writes(name, tmp_path):
    experiment = load_experiment(name)
    assert experiment.name == name
    assert experiment.description
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(experiment))
    assert load_experiment(copy) == experiment


def test_overrides_reach_every_depth(tmp_path):
    path = written(tmp_path / "mine.yaml", RECIPE)
    experiment = load_experiment(
        path,
        [
            "seed=7",
            "supernet.lr=1e-3",
            "space.settings.resolution=16",
            "search.optimizers.mcd.samples=5",
            "search.constraints=[params=5M]",
        ],
    )
    assert (experiment.name, experiment.seed, experiment.supernet.lr) == ("mine", 7, 1e-3)
    assert experiment.search_space().resolution == 16
    assert experiment.search.optimizers == {"mcd": {"samples": 5}}
    assert experiment.search.constraints == ["params=5M"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("supernet.epoch=3", ["supernet", "epoch", "did you mean 'epochs'"]),
        ("serch.budget=1", ["serch", "did you mean 'search'"]),
        ("space.name=mobilenet_v33", ["mobilenet_v33", "did you mean"]),
        ("space.settings.chanels=1", ["chanels", "did you mean 'channels'"]),
        ("seed=-1", ["seed", "greater than or equal to 0"]),
        ("train.lr=fast", ["train.lr", "number"]),
        ("train.lr=.nan", ["train.lr", "finite"]),
        ("seed.x=1", ["seed", "integer"]),
        ("seed", ["section.key=value"]),
    ],
)
def test_a_wrong_override_is_refused_in_one_line(override, words, tmp_path):
    path = written(tmp_path / "mine.yaml", RECIPE)
    with pytest.raises(UserError) as refusal:
        load_experiment(path, [override])
    text = str(refusal.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "", "schema: 9\nspace: {}\n"])
def test_a_broken_recipe_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"broken\.yaml") as refusal:
        load_experiment(path)
    assert "\n" not in str(refusal.value)


def test_a_folder_of_another_experiment_is_left_untouched(tmp_path):
    first = load_experiment(written(tmp_path / "a.yaml", RECIPE))
    folder = tmp_path / "run" / "supernet"
    assert not claim(StepFolder(folder), first, ("supernet",), resume=False)
    (folder / "checkpoints").mkdir()
    before = (folder / "config.yaml").read_text()
    other = load_experiment(tmp_path / "a.yaml", ["supernet.epochs=3"])
    with pytest.raises(UserError, match=r"supernet\.epochs is 30 there and 3 here"):
        claim(StepFolder(folder), other, ("supernet",), resume=True)
    # what step 1 does not depend on may differ
    claim(
        StepFolder(folder),
        load_experiment(tmp_path / "a.yaml", ["train.epochs=3"]),
        ("supernet",),
        resume=0,
    )
    assert "epochs: 30" in before and "epochs: 30" in (folder / "config.yaml").read_text()


def test_a_folder_without_any_work_may_be_used_again(tmp_path):
    experiment = load_experiment(written(tmp_path / "a.yaml", RECIPE))
    claim(StepFolder(tmp_path / "run"), experiment, ("supernet",), resume=False)
    mended = load_experiment(tmp_path / "a.yaml", ["supernet.epochs=3"])
    claim(StepFolder(tmp_path / "run"), mended, ("supernet",), resume=False)
    assert "epochs: 3" in (tmp_path / "run" / "config.yaml").read_text()


def test_foreign_and_finished_folders_are_refused(tmp_path):
    experiment = load_experiment(written(tmp_path / "a.yaml", RECIPE))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("words")
    with pytest.raises(UserError, match="not empty"):
        claim(StepFolder(foreign), experiment, ("supernet",), resume=True)
    folder = tmp_path / "run"
    claim(StepFolder(folder), experiment, ("supernet",), resume=False)
    (folder / "result.json").write_text("{}")
    with pytest.raises(UserError, match="finished"):
        claim(StepFolder(folder), experiment, ("supernet",), resume=False)
    assert claim(StepFolder(folder), experiment, ("supernet",), resume=True)


def test_importing_nas_and_describing_need_no_torch():
    code = (
        "import sys, nas, nas.recipe.experiment, nas.runs.networks, nas.cli.app\n"
        "nas.runs.networks.find('mobilenet_v3_large').network.macs\n"
        "heavy = {'torch', 'timm', 'torchvision', 'optuna', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_search_prices_networks_at_the_resolution_they_are_for():
    from nas.steps.search import problem_of

    overrides = ["search.metric=macs", "search.budget=50%"]
    small = problem_of(load_experiment("digits_quickstart", overrides))
    large = problem_of(load_experiment("digits_quickstart", [*overrides, "search.resolution=64"]))
    assert small.space.resolution == large.space.resolution
    settings = {**load_experiment("digits_quickstart").space.settings, "resolution": 64}
    wanted = space(load_experiment("digits_quickstart").space.name, **settings)
    network = wanted.describe(wanted.largest())
    assert large.budgets["macs"] == network.macs / 2
    row = [[choice.largest for choice in large.space.choices.values()]]
    assert large.metrics[0].batch(np.array(row)) == [network.macs]
    assert small.budgets["macs"] < large.budgets["macs"]


def test_a_databases_password_is_not_stored(tmp_path):
    from nas.steps.search import search

    url = "postgresql+psycopg://nas:very@secret@db:5432/nas"
    experiment = load_experiment("digits_quickstart", [f"search.storage={url}"])
    assert experiment.search.storage == url
    claim(StepFolder(tmp_path / "run"), experiment, ("search",), resume=False)
    stored = (tmp_path / "run" / "config.yaml").read_text()
    assert "secret" not in stored and "nas:***@db:5432/nas" in stored
    claim(StepFolder(tmp_path / "run"), experiment, ("search",), resume=True)  # the same experiment
    with pytest.raises(UserError, match="without its password; give --study"):
        search(load_experiment(str(tmp_path / "run" / "config.yaml")), tmp_path / "other")
