"""Measuring says so where a machine is too restless for it."""

import pytest

from lut import open_cost_model
from lut.cost import DeviceInfo
from lut.devices.base import Measurement, Progress
from lut.validate import compare, predict
from nas.steps.tables import check_on_measurements, measured_table
from search_spaces import space

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")


class Bench:
    """A device whose timings are a given share apart."""

    cache_bytes = 2 << 20

    def __init__(self, name, apart):
        self.name = name
        self.apart = apart

    def info(self, precision):
        return DeviceInfo(self.name, "a bench", "one", 1, "bench", "1", precision, "measured")

    def measure(self, files, *, on_result=None, on_progress=None):
        times = {name: 1 + len(content) / 1e4 for name, content in files.items()}
        results = {name: Measurement(t, self.apart * t, 5) for name, t in times.items()}
        for name, measured in results.items():
            on_result(name, measured)
            on_progress(Progress(1, len(results), 0.0))
        return results


class Heard:
    """A reporter that keeps the warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)

    def __getattr__(self, name):
        from nas.progress import SILENT

        return getattr(SILENT, name)


def test_measuring_on_a_restless_machine_warns_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    spaces = [space("mobilenet_v3_tiny", resolution=16, classes=10, channels=1)]
    quiet, restless = Heard(), Heard()
    measured_table(spaces, Bench("quiet", 0.0), reporter=quiet)
    assert not quiet.warnings
    table = measured_table(spaces, Bench("restless", 0.4), reporter=restless)
    again = measured_table(spaces, Bench("restless", 0.4), reporter=restless)
    assert again.identity == table.identity
    (warning,) = restless.warnings
    assert "restless" in warning and "--fresh" in warning


def test_measured_networks_of_a_file_err_by_the_same_kinds_as_those_of_a_device(tmp_path):
    model = open_cost_model("pixel1-cpu")
    sizes = {"mobilenet_v1": 128, "mobilenet_v2": 160, "mobilenet_v3_large": 224}
    file = tmp_path / "measured.csv"
    rows = [f"{name},1.0,{pixels},10.0" for name, pixels in sizes.items()]
    file.write_text("\n".join(["network,width,resolution,latency_ms", *rows]))
    networks = [space(name, resolution=pixels) for name, pixels in sizes.items()]
    described = [found.describe(found.largest()) for found in networks]
    expected = compare([predict("one", network, model, 10.0) for network in described])
    found = check_on_measurements(file, model).by_operation()
    assert {row["kind"] for row in found} == {row["kind"] for row in expected.by_operation()}
    assert any(row["kind"].startswith("depthwise 3x3 at ") for row in found)
