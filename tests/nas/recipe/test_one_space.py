"""A recipe's space is built once per command, however many steps ask for it."""

from __future__ import annotations

import pytest

from nas.recipe.loading import load_experiment, with_overrides
from nas.steps import train_supernet
from nas.steps.search import search
from search_spaces.builder import GraphBuilder

TINY = [
    "threads=1",
    "supernet.epochs=1",
    "supernet.steps_per_epoch=1",
    "supernet.batch_size=16",
    "supernet.probe_epochs=0",
    "search.metric=macs",
    "search.budget=95%",
    "search.optimizers.guided={iterations: 1, samples: 2}",
    "search.recalibration_images=32",
]


@pytest.fixture
def built(monkeypatch):
    """The names of the spaces that were built so far."""
    names: list[str] = []
    build = GraphBuilder.build

    def counted(self, name, *arguments, **settings):
        names.append(name)
        return build(self, name, *arguments, **settings)

    monkeypatch.setattr(GraphBuilder, "build", counted)
    return names


def test_a_training_and_a_search_build_it_once(built, tmp_path):
    experiment = load_experiment("digits_quickstart", TINY)
    train_supernet(experiment, tmp_path)
    search(experiment, tmp_path)
    assert built == ["mobilenet_v3_tiny"]


def test_options_of_a_command_do_not_build_it_again(built):
    experiment = load_experiment("digits_quickstart")
    other = with_overrides(experiment, ["seed=3", "search.resolution=32"])
    assert other.search_space() is experiment.search_space()
    assert other.priced_space().resolution == 32
    assert len(built) == 1


def test_other_settings_of_the_space_build_another(built):
    experiment = load_experiment("digits_quickstart")
    other = with_overrides(experiment, ["space.settings.multiplier=0.5"])
    assert other.search_space().fingerprint != experiment.search_space().fingerprint
    assert len(built) == 2
