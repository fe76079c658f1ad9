"""The quickstart goes from data to files and a report, and goes on where it stopped."""

import json

import numpy as np
import pytest
import torch

import nas.steps.quickstart
import nas.steps.tables
from lut.cost import DeviceInfo
from nas.runs.weights import load_network
from nas.steps.quickstart import quickstart
from search_spaces import UserError

SHORT = [
    "supernet.epochs=1",
    "supernet.probe_epochs=0",
    "train.epochs=1",
    "search.optimizers.guided={iterations: 2, samples: 3}",
    "search.recalibration_images=64",
]


class MadeUpTable:
    """Costs like a processor's, so that nothing depends on this machine's speed."""

    resource = "latency"
    unit = "ms"
    identity = "made-up"
    device = DeviceInfo("host", "a made-up processor", "one", 1, "none", "0", "float32", "measured")

    def cost(self, operation):
        return 3e-4 + operation.macs / 4e7


@pytest.fixture
def made_up(monkeypatch):
    table = MadeUpTable()
    for module in (nas.steps.tables, nas.steps.quickstart):
        monkeypatch.setattr(module, "measured_table", lambda *a, **k: table)
    return table


def test_from_data_to_files_and_a_report_and_on_from_there(tmp_path, made_up):
    out = tmp_path / "run"
    result = quickstart(overrides=SHORT, seed=3, out=out)
    told = result.to_dict()
    rows = {row["role"]: row for row in told["comparison"]}
    assert list(rows) == ["largest", "scaled", "discovered"]
    half = rows["largest"]["latency_predicted_ms"] / 2
    assert rows["discovered"]["latency_predicted_ms"] <= half
    for row in rows.values():
        assert 0 <= row["score"]["value"] <= 100 and row["score"]["split"] == "test"
        total = sum(layer["latency_ms"] for layer in row["layers"])
        assert row["latency_predicted_ms"] == pytest.approx(total)
        assert row["latency_measured_ms"] > 0 and row["macs"] > 0 and row["params"] > 0
    assert list(result.seconds) == ["table", "supernet", "search", "train"]
    stored = json.loads((out / "result.json").read_text())
    assert stored == told and stored["seed"] == 3
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(row["label"] in page for row in rows.values())

    litert = pytest.importorskip("ai_edge_litert.interpreter")
    trained = load_network(out / "train" / "discovered")
    image = torch.randn(1, *trained.module.network.input_shape)
    interpreter = litert.Interpreter(rows["discovered"]["file"], num_threads=1)
    interpreter.allocate_tensors()
    nhwc = image.permute(0, 2, 3, 1).contiguous().numpy()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], nhwc)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = trained.module(image).detach().numpy()
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()

    weights = {path: path.stat().st_mtime_ns for path in out.glob("*/**/weights.safetensors")}
    assert len(weights) == 4
    again = quickstart(overrides=SHORT, seed=3, out=out)
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert [r.score for r in again.comparison] == [r.score for r in result.comparison]
    with pytest.raises(UserError, match="different experiment"):
        quickstart(overrides=SHORT, seed=4, out=out)
    assert json.loads((out / "result.json").read_text())["seed"] == 3


def test_unknown_tasks_and_keys_are_refused(tmp_path):
    with pytest.raises(UserError, match="did you mean 'digits'"):
        quickstart(task="digit", out=tmp_path / "run")
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        quickstart(overrides=["train.epoch=1"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
