"""Benchmarks as a user starts them: small, and without looking at what they measure."""

import importlib
import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

from nas.benchmarks import BENCHMARKS


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_listed_benchmark_can_be_run_without_options(name):
    function = importlib.import_module(BENCHMARKS[name]).run
    parameters = inspect.signature(function).parameters.values()
    assert all(p.default is not inspect.Parameter.empty for p in parameters)


def test_throughput_is_told_for_real_images_and_for_images_in_memory():
    options = ["experiment=digits_quickstart", "steps=2", "rounds=1"]
    command = [sys.executable, "-m", "nas", "benchmark", "training-throughput", "--json"]
    done = subprocess.run(
        [*command, *(word for option in options for word in ("--option", option))],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    speeds = result["details"]["images_per_second"]
    assert result["value"] == pytest.approx(speeds["task"] / speeds["memory"])
    assert 0 <= result["details"]["waiting_share"] < 1


def test_tau_counts_pairs_and_leaves_out_those_that_are_not_apart():
    from nas.benchmarks.ranking import kendall_tau

    alone = [10.0, 11.0, 20.0, 30.0]
    assert kendall_tau(alone, [1, 2, 3, 4]) == 1
    assert kendall_tau(alone, [4, 3, 2, 1]) == -1
    swapped = [2, 1, 3, 4]
    assert kendall_tau(alone, swapped) == pytest.approx(4 / 6)
    assert kendall_tau(alone, swapped, apart=2) == 1
    assert np.isnan(kendall_tau(alone, swapped, apart=50))
