"""Sums against whole networks, and the host device itself."""

import random

import pytest

from lut.cost import UncoveredError
from lut.devices.base import Measurement
from lut.ranks import spearman
from lut.table import Table
from lut.validate import Point, compare, predict, validate
from search_spaces import UserError, space
from tests.lut.test_table import DEVICE


def points(*pairs):
    return [Point(f"n{i}", p, m, {"conv": p}) for i, (p, m) in enumerate(pairs)]


def test_the_figures_are_those_of_their_definitions():
    result = compare(points((1.1, 1.0), (1.8, 2.0), (4.0, 4.0), (12.0, 8.0)))
    assert result.median_error == pytest.approx(0.1)
    assert result.mean_error == pytest.approx((0.1 + 0.1 + 0 + 0.5) / 4)
    assert result.bias == pytest.approx(0.05)
    assert result.p90_error == pytest.approx(0.38)
    assert result.spearman == 1.0
    assert result.worst(1)[0].name == "n3"
    with pytest.raises(UserError):
        compare([])


def test_spearman_with_ties():
    scipy = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    source = random.Random(0)
    a = [source.randrange(8) for _ in range(40)]
    b = [x + source.randrange(6) for x in a]
    assert spearman(a, b) == pytest.approx(scipy.spearmanr(a, b).statistic)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_the_operation_behind_an_error_is_named():
    """Sums miss half of every global pooling: its share goes with the error."""
    source = random.Random(1)
    made = []
    for i in range(30):
        parts = {"conv": source.uniform(1, 5), "pool": source.uniform(0.5, 2)}
        total = sum(parts.values())
        made.append(Point(f"n{i}", total, total + parts["pool"], parts))
    rows = {row["kind"]: row["correlation"] for row in compare(made).by_operation()}
    assert rows["pool"] < -0.9 < 0.9 < rows["conv"]


class Half:
    """A device on which every network takes twice what the table says."""

    name = "half"
    cache_bytes = 0

    def __init__(self):
        self.calls = 0

    def info(self, precision):
        return DEVICE

    def measure(self, files, *, on_result=None, on_progress=None):
        self.calls += 1
        return {name: Measurement(2.0, 0.0, 5) for name in files}


def test_networks_are_measured_in_turns_and_compared():
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    tiny = space("mobilenet_v3_tiny", resolution=16)
    networks = {"a": tiny.describe(tiny.smallest()), "b": tiny.describe(tiny.largest())}
    table = Table(device=DEVICE, source="a test")
    device = Half()
    with pytest.raises(UncoveredError):
        validate(networks, table, device)
    assert device.calls == 0
    for network in networks.values():
        for operation in network.operations:
            table.add(operation, 1.0 / len(network.operations))
    # operations that both hold keep the later cost
    result = validate(networks, table, device, rounds=2)
    assert device.calls == 4
    assert {p.name: p.measured for p in result.points} == {"a": 2.0, "b": 2.0}
    largest = next(p for p in result.points if p.name == "b")
    assert largest.predicted == pytest.approx(predict("b", networks["b"], table, 1).predicted)


def test_the_host_times_files_and_reports_each():
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    from lut.devices.host import HostDevice
    from lut.tflite import write_operation

    tiny = space("mobilenet_v3_tiny", resolution=16)
    operations = tiny.describe(tiny.smallest()).operations[:3]
    files = {f"f{i}": write_operation(operation) for i, operation in enumerate(operations)}
    device = HostDevice(seconds=0.001, max_blocks=5)
    seen, progress = [], []
    results = device.measure(
        files, on_result=lambda name, m: seen.append(name), on_progress=progress.append
    )
    assert seen == list(files) == list(results)
    assert all(m.median > 0 and m.spread >= 0 and m.repeats >= 5 for m in results.values())
    assert [p.done for p in progress] == [1, 2, 3] and progress[-1].seconds_left == 0
    with pytest.raises(UserError, match="LiteRT cannot run"):
        device.measure({"bad": b"no model at all" * 10})
