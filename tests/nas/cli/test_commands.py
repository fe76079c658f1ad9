"""Whole commands, in this process through the entry point's function."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from nas.cli import main
from search_spaces import Architecture, space
from tests.nas.cli.commands import call, refused

SMALL = [
    "--set=space.settings.resolution=16",
    "--set=space.settings.multiplier=0.5",
    "--set=supernet.epochs=1",
    "--set=supernet.steps_per_epoch=3",
    "--set=supernet.probe_epochs=1",
    "--set=train.epochs=1",
    "--set=train.steps_per_epoch=3",
    "--set=threads=1",
    "--set=search.recalibration_images=64",
    "--set=search.metric=macs",
    "--set=search.optimizers.guided={iterations: 2, samples: 2}",
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("mobilenet_v1", 569e6, 4.2e6),
        ("mobilenet_v2", 300e6, 3.5e6),
        ("mobilenet_v3_large", 217e6, 5.48e6),
        ("mobilenet_v3_small", 56.5e6, 2.54e6),
    ],
)
def test_describe_gives_the_published_figures(capfd, name, macs, params):
    data = call(capfd, "describe", name)
    assert data["macs"] == pytest.approx(macs, rel=0.01)
    assert data["params"] == pytest.approx(params, rel=0.01)
    assert data["resolution"] == 224
    assert sum(layer["macs"] for layer in data["layers"]) == data["macs"]
    smaller = call(capfd, "describe", name, "--width=0.5", "--resolution=192", "--classes=10")
    assert smaller["macs"] < data["macs"] / 2 and smaller["layers"][-1]["output_shape"][0] == 10


def test_mobilenet_v3_large_is_a_member_of_the_space(capfd):
    path = files("search_spaces") / "architectures" / "mobilenet_v3_large.json"
    member = call(capfd, "describe", str(path))
    reference = call(capfd, "describe", "mobilenet_v3_large")
    for key in ("macs", "params"):
        assert member[key] == reference[key]
    shapes = [
        [[layer[k] for k in ("type", "output_shape", "kernel", "stride")] for layer in d["layers"]]
        for d in (member, reference)
    ]
    assert shapes[0] == shapes[1]


def test_describe_for_people_names_every_layer(capfd):
    assert main(["describe", "mobilenet_v3_tiny"]) == 0
    text = capfd.readouterr().out
    assert "classifier" in text and "MACs" in text


def test_the_three_steps_and_what_follows_them(capfd, empty_folder):
    recipe = "digits_quickstart"
    first = call(capfd, "train-supernet", recipe, *SMALL)
    assert first["step"] == "supernet" and first["updates"] == 3
    assert set(first["scores"]) == {"largest", "smallest", "random0", "random1"}
    assert first["data"]["holdout_hash"] and first["device_hours"] == first["seconds"] / 3600

    second = call(capfd, "search", recipe, *SMALL, "--budget=60%")
    assert len(second["family"]) == 3
    costs = [entry["metrics"]["macs"] for entry in second["family"]]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] <= second["budgets"]["macs"]["value"] == pytest.approx(0.6 * costs[0])

    third = call(capfd, "train", recipe, *SMALL, "--member=1", "--name=second")
    assert third["macs"] == costs[1]
    assert third["score"]["split"] == "test"
    assert set(third["score"]) == {"name", "value", "unit", "higher_is_better", "split"}

    run = Path("runs") / recipe
    folder = run / "train" / "second"
    for step in (run / "supernet", run / "search" / "main", folder):
        assert (step / "config.yaml").is_file() and (step / "result.json").is_file()
        assert list(step.glob("events*"))
    scored = call(capfd, "evaluate", str(folder))
    assert scored["score"] == third["score"]
    assert call(capfd, "describe", str(folder))["macs"] == costs[1]
    best = call(capfd, "describe", str(run / "search" / "main"))
    assert best["macs"] == second["best"]["metrics"]["macs"]
    exported = call(capfd, "export", str(folder), "--format=pytorch")
    assert Path(exported["file"]).stat().st_size == exported["bytes"]

    inherited = call(
        capfd, "train", recipe, *SMALL, "--set=train.weights=inherited", "--name=inherited"
    )
    assert inherited["weights"] == "inherited"

    # nothing of this is overwritten by another command, and --resume keeps what is finished
    before = contents(run)
    assert "finished" in refused(capfd, "train-supernet", recipe, *SMALL)
    assert "different experiment" in refused(capfd, "train-supernet", recipe, *SMALL, "--seed=1")
    assert "another architecture" in refused(
        capfd, "train", recipe, *SMALL, "--member=0", "--name=second"
    )
    assert "0 to 2" in refused(capfd, "train", recipe, *SMALL, "--member=9", "--name=x")
    assert call(capfd, "train-supernet", recipe, *SMALL, "--resume") == first
    assert contents(run) == before
    assert sorted(p.name for p in empty_folder.iterdir()) == ["runs"]


def test_weights_are_not_scored_on_images_that_they_were_trained_with(capfd):
    recipe = "digits_quickstart"
    call(capfd, "train-supernet", recipe, *SMALL)
    run = Path("runs") / recipe
    other = ["--seed=1", "--budget=60%"]
    message = refused(capfd, "search", recipe, *SMALL, *other, "--name=other")
    assert "supernet" in message and "task.seed" in message
    tuned = [*other, "--set=search.evaluator={name: fine_tuning}", "--name=tuned"]
    assert "held out here" in refused(capfd, "search", recipe, *SMALL, *tuned)

    kept = call(
        capfd, "search", recipe, *SMALL, *other, "--set=task.seed=0", "--name=other", "--resume"
    )
    assert len(kept["family"]) == 3
    found = f"--architecture={run}/search/other"
    training = [*SMALL, found, "--set=train.weights=inherited", "--name=other"]
    assert "held out here" in refused(capfd, "train", recipe, *training, "--seed=1")
    call(capfd, "train", recipe, *training, "--seed=1", "--set=task.seed=0")

    folder = str(run / "train" / "other")
    network = ["evaluate", folder, "--set=task.seed=1"]
    assert call(capfd, *network)["score"]["split"] == "test"
    assert "held out here" in refused(capfd, *network, "--split=holdout")
    encoder = [*SMALL, found, "--seed=1", f"--set=train.encoder={folder}", "--name=further"]
    assert "held out here" in refused(capfd, "train", recipe, *encoder)


def test_the_documentation_s_own_strategy_trains_a_super_network(capfd, empty_folder):
    page = Path(__file__).parents[3] / "docs" / "super-network.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    (empty_folder / "mine.py").write_text(code)
    named = ["--set=supernet.strategy.name=mine.py:Halves", "--out=runs/own"]
    call(capfd, "train-supernet", "digits_quickstart", *SMALL, *named,
         "--set=supernet.strategy.settings={share: 0.25}")  # fmt: skip
    for settings, words in (
        ("{shares: 0.25}", "unknown setting of strategy mine.py:Halves 'shares'"),
        ("{share: much}", "share = 'much'"),
    ):
        given = f"--set=supernet.strategy.settings={settings}"
        message = refused(
            capfd, "train-supernet", "digits_quickstart", *SMALL, *named[:1], given, "--out=runs/no"
        )
        assert words in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["describe", "mobilenet_v4"], "did you mean"),
        (["describe", "nowhere.json"], "No such file"),
        (["describe", "mobilenet_v2", "--width=wide"], "--width"),
        (["describe", "mobilenet_v2", "--width=0"], "above 0"),
        (["describe"], "NETWORK"),
        (["fly"], "fly"),
        (["train-supernet", "digits_quickstrat"], "did you mean 'digits_quickstart'"),
        (["train-supernet", "digits_quickstart", "--set=supernet.batch_size=62"], "multiple"),
        (["train-supernet", "digits_quickstart", "--set=supernet.strategy.name=x"], "strategy"),
        (["search", "digits_quickstart", "--metric=macs"], "nas train-supernet"),
        (["search", "digits_quickstart", "--metric=macs", "--budget=1"], "smallest"),
        (["search", "digits_quickstart", "--metric=watts"], "metric"),
        (["search", "digits_quickstart", "--metric=macs", "--optimizer=mdc"], "mcd"),
        (["search", "digits_quickstart", "--metric=macs", "--budget=1%", "--budget=2%"], "second"),
        (["search", "digits_quickstart", "--device=a", "--table=b"], "exclude"),
        (["search"], "EXPERIMENT"),
        (["search", "--worker"], "--study"),
        (["train", "digits_quickstart"], "--architecture"),
        (["train", "cifar10_mobilenet_v3", "--architecture=tiny.json"], "classes"),
        (["train-supernet", "cifar10_mobilenet_v3", "--data=nowhere"], "nowhere"),
        (["evaluate", "nowhere"], "nowhere"),
        (["export", "nowhere"], "nowhere"),
        (["report", "nowhere"], "nowhere"),
        (["benchmark", "speed"], "benchmark"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(capfd, empty_folder, arguments, words):
    architecture = space("mobilenet_v3_tiny", classes=9).largest()
    Path("tiny.json").write_text(json.dumps(architecture.to_dict()))
    assert words in refused(capfd, *arguments)


def test_files_that_are_no_architecture_are_refused(capfd):
    whole = json.dumps(space("mobilenet_v3_tiny").largest().to_dict())
    path = Path("a.json")
    for text in (whole[:-30], "[]", "{}", "\x00", whole.replace("mobilenet_v3_tiny", "gone")):
        path.write_text(text)
        assert "a.json" in refused(capfd, "describe", "a.json") or "gone" in text
    path.write_text(whole)
    assert Architecture.load(path) == space("mobilenet_v3_tiny").largest()


def test_classic_netadapt_starts_from_a_trained_network(capfd):
    flat = [*SMALL, "--set=space.settings.bypass=false"]
    tiny = space(
        "mobilenet_v3_tiny",
        resolution=16,
        channels=1,
        classes=10,
        multiplier=0.5,
        bypass=False,
    )
    Path("largest.json").write_text(json.dumps(tiny.largest().to_dict()))
    Path("half.json").write_text(json.dumps(tiny.scaled(0.5).to_dict()))
    for name in ("largest", "half"):
        call(
            capfd,
            "train",
            "digits_quickstart",
            *flat,
            f"--architecture={name}.json",
            f"--name={name}",
        )
    arguments = [
        "search",
        "digits_quickstart",
        *flat,
        "--optimizer=netadapt",
        "--budget=85%",
        "--set=search.optimizers.netadapt={initial_reduction: 0.1}",
        "--set=search.evaluator={name: fine_tuning, settings: {steps: 1, batch_size: 32}}",
    ]
    trained = Path("runs/digits_quickstart/train")
    assert "not the largest" in refused(capfd, *arguments, f"--supernet={trained / 'half'}")
    found = call(capfd, *arguments, f"--supernet={trained / 'largest'}")
    costs = [member["metrics"]["macs"] for member in found["family"]]
    assert len(costs) == 3 and costs[-1] <= 0.85 * costs[0]


def test_what_a_search_cannot_take_is_refused_before_the_super_network_is_trained(tmp_path, capfd):
    for setting, said in (
        ("search.optimizers.guided={iteration: 3}", "did you mean 'iterations'"),
        ("search.optimizer=gided", "did you mean 'guided'"),
    ):
        words = ("train-supernet", "digits_quickstart", f"--set={setting}", f"--out={tmp_path}")
        assert said in refused(capfd, *words)
    assert not list(tmp_path.iterdir())
