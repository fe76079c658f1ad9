"""Benchmarks as a user starts them: small, and without looking at what they measure."""

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

from nas.benchmarks import BENCHMARKS, described
from tests.nas.cli.commands import call


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_listed_benchmark_can_be_run_without_options(name):
    assert inspect.Parameter.empty not in described(name)["options"].values()


def test_the_list_says_what_is_measured_and_with_which_options(capfd):
    found = {row["name"]: row for row in call(capfd, "benchmark", "list")["benchmarks"]}
    assert set(found) == set(BENCHMARKS)
    assert found["ordered-dropout"]["options"]["resolution"] == 64
    assert all(row["measures"].endswith(".") for row in found.values())


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nas", "benchmark", name, "--json"]
    given = [word for option in options for word in ("--option", option)]
    return subprocess.run([*command, *given], capture_output=True, text=True, timeout=300)


def test_throughput_is_told_for_real_images_and_for_images_in_memory():
    done = run("training-throughput", "experiment=digits_quickstart", "steps=2", "rounds=1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    speeds = result["details"]["images_per_second"]
    assert result["value"] == pytest.approx(speeds["task"] / speeds["memory"])
    assert 0 <= result["details"]["waiting_share"] < 1


def test_the_cost_of_a_step_is_told_for_the_strategy_that_is_asked_for():
    small = ["space_name=mobilenet_v3_tiny", "resolution=16", "batch_size=16", "repeats=2"]
    done = run("ordered-dropout", *small, "strategy={groups: 4, distil: 0.5}", "bfloat16=true")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    ratios = result["details"]["ratios"]
    assert ratios["plain"] == 1 and result["value"] == ratios["default, kernels mixed"] > 0
    assert result["details"]["groups"] == 4 and result["details"]["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("strategy={group: 4}", "unknown setting of strategy ordered_dropout 'group'"),
        ("space_name=fastdepth", "fastdepth has none"),
        ("repeats=many", "repeats = 'many'"),
        ("batch_size=10", "10 images is not a multiple of 4 groups"),
    ],
)
def test_the_cost_of_a_step_refuses_what_it_cannot_measure(option, words):
    done = run("ordered-dropout", option)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_strategies_are_compared_for_equal_device_time(tmp_path):
    done = run(
        "supernet-quality",
        "experiment=digits_quickstart",
        "steps=3",
        "networks=3",
        "repeats=2",
        "seeds=[0, 1]",
        "overrides=[threads=1, supernet.accumulate=2, precision=bfloat16]",
        f"folder={tmp_path}",
        "strategies={one: {}, same: {lr: 0.01}, half: {time: 0.5}, other: {strategy: sandwich}}",
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["details"]["strategies"]
    assert rows["one"]["steps"] == rows["same"]["steps"] == 3 and rows["half"]["steps"] == 2
    assert rows["same"]["relative_step"] == 1
    for row in rows.values():
        assert len(row["scores"]) == 2 and all(len(of_seed) == 3 for of_seed in row["scores"])
        assert row["mean"] == pytest.approx(np.mean(row["scores"]))
    assert (tmp_path / "other-1" / "supernet" / "result.json").is_file()


def test_tau_counts_pairs_and_leaves_out_those_that_are_not_apart():
    from nas.benchmarks.ranking import kendall_tau

    alone = [10.0, 11.0, 20.0, 30.0]
    assert kendall_tau(alone, [1, 2, 3, 4]) == 1
    assert kendall_tau(alone, [4, 3, 2, 1]) == -1
    swapped = [2, 1, 3, 4]
    assert kendall_tau(alone, swapped) == pytest.approx(4 / 6)
    assert kendall_tau(alone, swapped, apart=2) == 1
    assert np.isnan(kendall_tau(alone, swapped, apart=50))
