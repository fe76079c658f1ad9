"""Building: what is measured, that nothing is measured twice, and that nothing is lost."""

import random

import pytest

from lut import build_table, open_cost_model
from lut.build import working_set
from lut.cache import cache_folder, cached_tables
from lut.cost import DeviceInfo
from lut.coverage import plan, reachable
from lut.devices.base import Measurement, Progress
from lut.probes import streaming
from lut.references import SHARES, References
from lut.signature import signature
from lut.tflite import write_operation
from lut.tflite.model import unpack
from search_spaces import UserError, names, space
from tests.spaces import fitting

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

CALL_MS = 0.5
"""What a call of the test bench's runtime costs."""


def price(content):
    """Milliseconds of a file whose operators cost by the elements that they write and weigh."""
    model = unpack(content)
    graph = model.subgraphs[0]
    total = CALL_MS
    for operator in graph.operators:
        elements = 0
        for tensor in (*operator.outputs, *operator.inputs[1:2]):
            count = 1
            for size in graph.tensors[tensor].shape:
                count *= int(size)
            elements += count
        total += 0.001 + elements * 1e-6
    return total


class Bench:
    """A device whose latencies are known; it can be unplugged after some files."""

    name = "bench"

    def __init__(self, cache_bytes=2 << 20, unplugged_after=None):
        self.cache_bytes = cache_bytes
        self.unplugged_after = unplugged_after
        self.measured = []
        self.version = "1"

    def info(self, precision):
        return DeviceInfo(
            "bench", "a test bench", "one", 1, "bench", self.version, precision, "measured"
        )

    def measure(self, files, *, on_result=None, on_progress=None):
        results = {}
        for name in files:
            if self.unplugged_after is not None and len(self.measured) >= self.unplugged_after:
                raise UserError("the device is gone")
            self.measured.append(name)
            results[name] = Measurement(price(files[name]), 0.0, 5)
            on_result(name, results[name])
            if on_progress:
                on_progress(Progress(len(results), len(files), 0.0))
        return results


class Turns(Bench):
    """A test bench that can call a network between files."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.networks = {}

    def behind(self, network):
        one = Turns()
        one.measured = self.networks.setdefault(price(network), [])
        return one


@pytest.fixture
def tiny():
    return space("mobilenet_v3_tiny", resolution=16, multiplier=0.25)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("device", [Bench(1 << 14), Bench(32 << 20), Turns()])
def test_costs_are_those_of_the_operation_alone(tiny, device):
    """Calls, producers, streams and corners drop out, whatever the surroundings."""
    table = build_table([tiny], device)
    largest = tiny.describe(tiny.largest())
    for operation in largest.operations:
        alone = price(write_operation(operation)) - CALL_MS
        assert table.cost(operation) == pytest.approx(alone, rel=1e-6, abs=1e-9), operation.name


def test_every_network_of_the_space_is_covered(tiny):
    table = build_table([tiny], Bench())
    source = random.Random(3)
    for architecture in [tiny.smallest(), *(tiny.random(source) for _ in range(50))]:
        for operation in tiny.describe(architecture).operations:
            assert table.cost(operation) > 0


@pytest.mark.parametrize("name", names())
def test_what_can_be_reached_is_what_networks_have(name):
    searched = fitting(name, multiplier=0.25)
    found = reachable([searched])
    source = random.Random(0)
    for architecture in [searched.smallest(), *(searched.random(source) for _ in range(5))]:
        for operation in searched.describe(architecture).operations:
            family, widths = signature(operation)
            assert widths in found[family], operation


def test_wide_operations_are_timed_behind_large_networks(tiny):
    device = Turns()
    build_table([tiny], device)
    references = References(tiny, reachable([tiny]))
    prices = [price(references.network(share)) for share in SHARES]
    assert prices[0] in device.networks
    assert set(device.networks) <= set(prices)
    grown = 0
    for family, members in reachable([tiny]).items():
        narrow, wide = (references.share(family, widths) for widths in (min(members), max(members)))
        assert narrow <= wide
        grown += narrow < wide
    assert grown > 5


def test_spaces_of_one_table_are_timed_behind_the_same_networks(tiny):
    other = space("mobilenet_v3_tiny", resolution=24, multiplier=0.25)
    device = Turns()
    both = build_table([tiny, other], device)
    references = References(tiny, reachable([tiny, other]))
    assert set(device.networks) <= {price(references.network(share)) for share in SHARES}
    assert open_cost_model("bench", space=other).identity == both.identity
    build_table([other], Turns())  # behind networks of its own: another table
    assert len(cached_tables()) == 2


def test_a_grid_is_measured_and_not_every_width():
    found = reachable([space("mobilenet_v3", multiplier=0.5)])
    measured = sum(len(plan(family, members)[0]) for family, members in found.items())
    assert sum(map(len, found.values())) > 4 * measured


def test_the_second_build_measures_nothing(tiny):
    device = Bench()
    first = build_table([tiny], device)
    count = len(device.measured)
    assert build_table([tiny], device).identity == first.identity
    assert len(device.measured) == count
    build_table([tiny], device, fresh=True)
    assert len(device.measured) == 2 * count


def test_another_runtime_or_resolution_is_measured(tiny):
    device = Bench()
    build_table([tiny], device)
    count = len(device.measured)
    build_table([space("mobilenet_v3_tiny", resolution=24, multiplier=0.25)], device)
    assert len(device.measured) > count
    count = len(device.measured)
    device.version = "2"
    build_table([tiny], device)
    assert len(device.measured) > count
    assert len(cached_tables()) == 2


def test_an_interrupted_build_goes_on_where_it_stopped(tiny):
    whole = Bench()
    expected = build_table([tiny], whole, folder=cache_folder() / "other")
    lost = Bench(unplugged_after=len(whole.measured) * 2 // 3)
    with pytest.raises(UserError, match="the device is gone"):
        build_table([tiny], lost)
    kept = len(cached_tables()[0][1])
    assert kept > 0
    again = Bench()
    table = build_table([tiny], again)
    assert len(again.measured) < len(whole.measured) - kept + 60
    assert {f: {w: c.value for w, c in p.items()} for f, p in table.families.items()} == {
        f: {w: pytest.approx(c.value) for w, c in p.items()} for f, p in expected.families.items()
    }


def test_a_damaged_cache_is_refused_and_kept(tiny):
    build_table([tiny], Bench())
    (path,) = (cache_folder() / "tables").iterdir()
    path.write_text(path.read_text()[:1000])
    with pytest.raises(UserError, match="truncated"):
        build_table([tiny], Bench())
    assert len(path.read_text()) == 1000


def test_a_cached_table_is_opened_by_the_devices_name(tiny):
    table = build_table([tiny], Bench())
    assert open_cost_model("bench").identity == table.identity
    assert open_cost_model("bench", space=tiny).identity == table.identity
    other = space("mobilenet_v3_tiny", resolution=24, multiplier=0.25)
    second = build_table([other], Turns())
    for of, expected in ((tiny, table), (other, second)):
        operations = of.describe(of.largest()).operations
        assert open_cost_model("bench", space=of).identity == expected.identity
        assert open_cost_model("bench", operations=operations).covers(operations[0])
    with pytest.raises(UserError, match="measure one with"):
        open_cost_model("host")
    with pytest.raises(UserError, match="unknown device"):
        open_cost_model("bensh")


def test_small_networks_keep_their_weights_in_the_cache(tiny):
    small = working_set(tiny.describe(tiny.smallest()))
    assert streaming(small, 2 << 20).stream_bytes == 0
    large = space("mobilenet_v3")
    needed = working_set(large.describe(large.largest()))
    assert streaming(needed, 2 << 20).stream_bytes == 2 << 20
