from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from lut.fit import RECIPES, FittedModel
from nas.cli import main
from nas.recipe.experiment import SearchSection
from nas.steps.problem import problem_for
from search_spaces import space
from tests.nas.cli.commands import call


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_query_sums_what_it_shows(capfd):
    network = space("mobilenet_v3_tiny").largest()
    Path("tiny.json").write_text(json.dumps(network.to_dict()))
    found = call(capfd, "lut", "query", "tiny.json", "--device=pixel6-cpu", "--layers")
    parts = {layer["name"]: layer["latency_ms"] for layer in found["layers"]}
    assert found["latency_ms"] == pytest.approx(sum(parts.values()))
    assert found["device"]["provenance"] == "fitted" and found["device"]["trust"] > 0
    # one operation alone has the latency that it has in the network
    operation = space("mobilenet_v3_tiny").describe(network).operations[0]
    Path("operation.json").write_text(json.dumps(operation.to_dict()))
    alone = call(capfd, "lut", "query", "operation.json", "--device=pixel6-cpu")
    assert alone["latency_ms"] == parts[operation.name]
    assert main(["describe", "tiny.json", "--device=pixel6-cpu", "--json"]) == 0
    described = json.loads(capfd.readouterr().out)
    assert described["latency_ms"] == pytest.approx(found["latency_ms"])


def test_fitted_devices_say_how_far_they_are_trusted(capfd):
    devices = call(capfd, "lut", "devices")["devices"]
    assert {"pixel1-cpu", "pixel4-cpu", "pixel6-cpu"} <= {d["name"] for d in devices}
    assert all(d["trust"] > 0 for d in devices if d["provenance"] == "fitted")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["query", "mobilenet_v2", "--device=pixel5-cpu"], "did you mean"),
        (["query", "mobilenet_v2"], "--device"),
        (["query", "mobilenet_v2", "--table=nowhere.json"], "nowhere.json"),
        (["fit", "pixel9", "."], "pixel9"),
        (["fit", "pixel6-cpu", "."], "pixel6"),
        (["import", "nn-metre", "a.json", "--name=x"], "did you mean 'nn-meter'"),
        (["import", "nn-meter", "a.json", "--name=x"], "a.json"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(capfd, arguments, words):
    assert main(["lut", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("nas: ") and err.count("\n") == 1
    assert words in err


def test_what_a_fit_wrote_is_read_as_a_table_of_its_device(capfd):
    shipped = Path(str(files("lut.fit"))) / "coefficients" / "pixel6-cpu.json"
    Path("mine.json").write_text(shipped.read_text())
    expected = call(capfd, "describe", "mobilenet_v2", "--device=pixel6-cpu")["latency_ms"]
    for command in (["describe"], ["lut", "query"]):
        found = call(capfd, *command, "mobilenet_v2", "--table=mine.json")
        assert found["latency_ms"] == pytest.approx(expected)
    network = space("mobilenet_v2")
    problem = problem_for(network, SearchSection(budget="50%", table=Path("mine.json")))
    assert problem.budgets["latency"] == pytest.approx(expected / 2)


def test_a_fit_is_shown_also_where_a_family_has_one_network(capfd):
    recipe = RECIPES["pixel4-cpu"]
    networks, operations = Path(recipe.files[0]), Path(recipe.files[1])
    feature = {"Input_channel": 3, "Output_shape": 16, "Stride": 2, "Kernel": 3, "Group": 1}
    rows, latencies = ["model,operation,feature"], [f"model,{recipe.column}"]
    for i in range(30):
        name = f"mobilenet_w{i}" if i else "fbnet_x"
        of_one = feature | {"Input_shape": 32, "Filter": 8 + i}
        rows.append(f'{name},CONV_2D,"{of_one}"')
        latencies.append(f"{name},{1000 + 10 * i}")
    networks.write_text("\n".join(latencies))
    operations.write_text("\n".join(rows))
    assert main(["lut", "fit", "pixel4-cpu", "."]) == 0
    shown = capfd.readouterr().out
    assert "family left out, FBNet" in shown and "–" in shown
    assert FittedModel.load(Path("pixel4-cpu.json")).device.name == "pixel4-cpu"


@pytest.mark.parametrize("command", [["describe"], ["lut", "query"]])
def test_a_table_of_another_device_than_the_one_that_is_named_is_refused(capfd, command):
    shipped = Path(str(files("lut.fit"))) / "coefficients" / "pixel6-cpu.json"
    Path("mine.json").write_text(shipped.read_text())
    assert main([*command, "mobilenet_v2", "--table=mine.json", "--device=pixel1-cpu"]) == 2
    err = capfd.readouterr().err
    assert "pixel1-cpu" in err and "is of pixel6-cpu" in err and err.count("\n") == 1
    assert main([*command, "mobilenet_v2", "--table=mine.json", "--device=pixel6-cpu"]) == 0
