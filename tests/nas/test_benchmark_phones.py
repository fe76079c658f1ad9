"""``nas benchmark phones``: a search for each device and one for all, on an oracle."""

import json

import pytest

from nas.cli import main
from tests.nas.cli.commands import refused

ORACLE = """
def score(architecture):
    return sum(value**0.5 for value in architecture.values())
"""


@pytest.fixture
def options(tmp_path):
    (tmp_path / "oracle.py").write_text(ORACLE)
    given = [f"oracle={tmp_path / 'oracle.py'}:score", "space=mobilenet_v3_tiny", "samples=8"]
    return [f"--option={o}" for o in given]


def test_the_common_network_keeps_every_budget_and_own_networks_theirs(options, capfd):
    devices = "--option=devices=[pixel4-cpu, iphone-xs-gpu]"
    further = [
        "--option=seeds=2",
        "--option=evaluations=17",
        "--option=budget=0.8",
        "--option=optimizer=random",
    ]
    assert main(["benchmark", "phones", "--json", *options, devices, *further]) == 0
    found = json.loads(capfd.readouterr().out)
    details = found["details"]
    assert [row["device"] for row in details["rows"]] == ["pixel4-cpu", "iphone-xs-gpu"]
    for row in details["rows"]:
        assert row["latency_over_budget"]["common"] <= 1
        assert row["latency_over_budget"][row["device"]] <= 1
        assert row["loss"] == pytest.approx(row["own"] - details["common"])
    assert found["value"] == max(row["loss"] for row in details["rows"])
    assert all(0 <= share <= 1 for share in details["differ"].values())


def test_what_is_no_comparison_is_refused(options, capfd):
    for option, words in (
        ("devices=[pixel4-cpu]", "two or more"),
        ("devices=[pixel4-cpu, pixel5-cpu]", "did you mean"),
        ("budget=1.5", "budget"),
        ("seeds=0", "seeds"),
        ("budget=0.001", "cannot be reached"),
    ):
        given = [*options, "--option=evaluations=41", f"--option={option}"]
        assert words in refused(capfd, "benchmark", "phones", *given), option
