"""``nas benchmark optimizers``: searches side by side on an oracle of the user's own."""

import json

import pytest

from nas.cli import main

ORACLE = """
def score(architecture):
    return sum(value**0.5 for value in architecture.values())
"""


@pytest.fixture
def oracle(tmp_path):
    (tmp_path / "oracle.py").write_text(ORACLE)
    return f"{tmp_path / 'oracle.py'}:score"


def command(oracle, *options):
    given = [f"oracle={oracle}", "space=mobilenet_v3_tiny", "device=macs", *options]
    return ["benchmark", "optimizers", "--json", *(x for o in given for x in ("--option", o))]


def test_searches_are_compared_at_equal_evaluations_and_paired(oracle, tmp_path, capfd):
    picture = tmp_path / "curves.svg"
    kinds = "{guided: {proposals: 64}, random: {}}"
    options = ["budgets=[0.5]", "seeds=2", "evaluations=41", "samples=8", f"picture={picture}"]
    assert main(command(oracle, f"optimizers={kinds}", *options)) == 0
    details = json.loads(capfd.readouterr().out)["details"]
    guided, drawn = details["rows"]
    assert guided["optimizer"] == "guided" and drawn["optimizer"] == "random"
    assert guided["reached"] == drawn["reached"] == 2
    assert guided["evaluations"] == drawn["evaluations"] == 41
    assert guided["minus_guided"] == 0 and drawn["minus_guided"] < 0
    assert drawn["minus_guided"] == pytest.approx(drawn["best"] - guided["best"])
    assert picture.read_text().startswith("<?xml")


def test_without_an_oracle_it_says_what_is_needed(capfd):
    assert main(["benchmark", "optimizers"]) == 2
    assert "oracle" in capfd.readouterr().err


def test_area_and_regret(oracle, capfd):
    options = ["optimizers={guided: {proposals: 64}, random: {}}", "budgets=[0.5]", "seeds=2"]
    given = [*options, "evaluations=33", "samples=8", "reference=129"]
    assert main(command(oracle, *given)) == 0
    guided, drawn = json.loads(capfd.readouterr().out)["details"]["rows"]
    assert drawn["regret"] > guided["regret"]
    assert guided["regret"] - drawn["regret"] == pytest.approx(drawn["best"] - guided["best"])
    # a descent's family is better at every cost above the budget; random search has none there
    assert guided["area"] > guided["best"] and guided["area"] > drawn["area"] >= drawn["best"]


def test_a_trained_supernet_is_searched_on_one_half_and_judged_by_the_other(tmp_path, capfd):
    run = tmp_path / "run"
    small = ["supernet.epochs=1", "supernet.steps_per_epoch=2", "supernet.warmup_epochs=0"]
    small += ["space.settings.multiplier=0.5", "search.recalibration_images=64"]
    sets = [x for each in small for x in ("--set", each)]
    assert main(["train-supernet", "digits_quickstart", "--out", str(run), *sets, "--json"]) == 0
    capfd.readouterr()
    given = ["device=macs", "optimizers={random: {}}", "budgets=[0.5]", "seeds=1"]
    given += ["evaluations=5", "samples=4", f"oracle={run}"]
    arguments = [x for each in given for x in ("--option", each)]
    found = []
    for _ in range(2):
        assert main(["benchmark", "optimizers", "--json", *arguments]) == 0
        (row,) = json.loads(capfd.readouterr().out)["details"]["rows"]
        found.append({k: v for k, v in row.items() if "seconds" not in k})
        (cache,) = (run / "benchmark").iterdir()
        lines = cache.read_text().splitlines()
        # what was scored is not scored again, and a line that a kill cut off does no harm
        assert len(lines) == len({json.dumps(json.loads(line)[0]) for line in lines}) <= 5
        cache.write_text("\n".join(lines) + "\n[[8")
    assert found[0] == found[1]
    assert main(["benchmark", "optimizers", "--option", f"oracle={tmp_path}"]) == 2
    assert "train-supernet" in capfd.readouterr().err


def test_a_noisy_search_is_judged_by_the_oracles_own_scores(oracle, capfd):
    options = ["optimizers={random: {}}", "budgets=[0.5]", "seeds=2", "evaluations=41", "samples=8"]
    found = {}
    for noise in (0, 1000):
        assert main(command(oracle, *options, f"noise={noise}")) == 0
        (found[noise],) = json.loads(capfd.readouterr().out)["details"]["rows"]
    # random search proposes the same networks; with such noise any of them may look best
    assert found[1000]["best"] < found[0]["best"] < 1000
    assert main(command(oracle, "noise=-1")) == 2
    assert "noise" in capfd.readouterr().err
