"""Records of results: what is written is read again, of every version, and nothing else is."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from nas.cli import main
from nas.report import load_run, write_report
from nas.runs.folder import RunFolder
from nas.runs.networks import load_architecture, load_chosen, role_of
from nas.runs.results import (
    Result,
    SearchResult,
    TrainResult,
    load_any,
    load_result,
)
from search_spaces import UserError, space_of

ASSETS = Path(__file__).parents[2] / "assets" / "runs-1"
"""Runs on the digits as version 0.1.0 wrote them before results had roles: all steps with a
further training called ``rescaled``, and a quickstart."""

RESULTS = sorted(ASSETS.rglob("result.json"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the run of all three steps."""
    return Path(shutil.copytree(ASSETS / "run", tmp_path / "run"))


def _edit(file: Path, **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps(data))
    return data


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: str(p.relative_to(ASSETS).parent))
def test_what_an_earlier_version_wrote_is_read_and_kept_word_for_word(
    path: Path, tmp_path: Path
) -> None:
    result = load_any(path)
    stored, told = json.loads(path.read_text()), result.to_dict()
    for key in stored.keys() - {"kind", "family", "best", "comparison"}:
        assert told[key] == stored[key], key
    for key in {"family", "comparison"} & stored.keys():
        for before, now in zip(stored[key], told[key], strict=True):
            assert before.items() <= now.items()
    result.write(tmp_path / "result.json")
    assert load_any(tmp_path / "result.json") == result


def test_roles_of_earlier_files_come_from_whole_names(run: Path) -> None:
    roles = {row.label: row.role for row in load_run(run).compared}
    assert roles == {"discovered": "discovered", "rescaled": "other", "scaled": "scaled"}
    known = [row.role for row in load_run(ASSETS / "quick").compared]
    assert known == ["largest", "scaled", "discovered"]


@pytest.mark.parametrize("name", ["rescaled", "largest-lr0.1", "undiscovered", "scaled"])
def test_a_name_is_no_role(run: Path, name: str) -> None:
    trained = run / "train" / "rescaled"
    _edit(trained / "result.json", name=name, role="member", baseline=None)
    (row,) = (row for row in load_run(run).compared if row.label == name and row.role == "member")
    assert row.mark == "other"


def test_a_run_of_an_earlier_version_is_reported_described_and_trained_from(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = write_report([run, ASSETS / "quick"], tmp_path / "report.html")
    assert "rescaled" in page.read_text(encoding="utf-8")
    searched = load_result(run / "search" / "main" / "result.json", SearchResult)
    assert searched.best is not None
    best = searched.best.architecture
    assert load_chosen(run / "search" / "main") == (best, "discovered")
    assert load_chosen(run / "search" / "main", member=0)[1] == "member"
    assert load_architecture(run / "train" / "rescaled") == best == load_architecture(run)
    assert main(["describe", str(run), "--json"]) == 0
    macs = json.loads(capfd.readouterr().out)["macs"]
    assert macs == space_of(best).describe(best).macs == searched.best.metrics["macs"]


def test_what_an_architecture_is_to_a_run(run: Path) -> None:
    file = run / "search" / "main" / "result.json"
    found = load_result(file, SearchResult)
    assert found.best is not None
    largest, best = found.family[0].architecture, found.best.architecture
    folder, elsewhere = RunFolder(run), RunFolder(run / "elsewhere")
    assert role_of(largest, folder) == role_of(largest, elsewhere) == "largest"
    assert role_of(best, folder) == "discovered" and role_of(best, elsewhere) == "other"
    assert role_of(found.family[1].architecture, folder) in ("member", "discovered")
    _edit(file, optimizer="random")
    assert role_of(best, folder) == "random"
    assert role_of(space_of(best).smallest(), folder) == "other"


def test_an_architecture_without_one_of_its_choices_is_refused_by_name(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = run / "train" / "discovered" / "result.json"
    data = json.loads(file.read_text())
    del data["architecture"]["choices"]["stage2.block1.kernel"]
    file.write_text(json.dumps(data))
    for command in (["report", str(run)], ["describe", str(file.parent)]):
        assert main(command) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert str(file) in line and "architecture" in line and "stage2.block1.kernel" in line
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("step", "change", "named"),
    [
        ("train/discovered", {"score": None}, "score"),
        ("train/discovered", {"seconds": "long"}, "seconds"),
        ("train/discovered", {"role": "winner"}, "role"),
        ("search/main", {"family": {}}, "family"),
        ("search/main", {"best": 2}, "best"),
        ("search/main", {"budgets": {"macs": {"value": "much"}}}, r"budgets\.macs\.value"),
        ("supernet", {"history": [3]}, r"history\.0"),
        ("supernet", {"step": "train"}, "role|name|architecture"),
        ("supernet", {"schema": 2}, "schema 2, this version reads 1"),
        ("", {"seconds": {"search": True}}, r"seconds\.search"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_file(
    run: Path, step: str, change: dict[str, Any], named: str
) -> None:
    file = run / step / "result.json"
    _edit(file, **change)
    with pytest.raises(UserError, match=named) as caught:
        load_run(run)
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)


def test_a_result_of_another_kind_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match="of step 'supernet', not of step 'train'"):
        load_result(run / "supernet" / "result.json", TrainResult)


def _mutated(data: Any, source: random.Random) -> Any:
    """The data with one value, somewhere inside, dropped or replaced."""
    if isinstance(data, dict | list) and data:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        at = source.choice(keys)
        copied = dict(data) if isinstance(data, dict) else list(data)
        if source.random() < 0.4:
            if source.random() < 0.5:
                del copied[at]
            else:
                copied[at] = source.choice([None, -1, 1e300, "x", [], {}, True, [{}], 2**70])
        else:
            copied[at] = _mutated(data[at], source)
        return copied
    return source.choice([None, -7, 0.5, "word", [], {}, False])


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: str(p.relative_to(ASSETS).parent))
def test_edited_files_are_read_or_refused_in_one_line(path: Path, tmp_path: Path) -> None:
    """Through the report and the reader of networks, which between them read every record."""
    relative = path.relative_to(ASSETS)
    folder = tmp_path / relative.parts[0]
    shutil.copytree(ASSETS / relative.parts[0], folder)
    file = tmp_path / relative
    original = json.loads(path.read_text())
    read = 0
    for seed in range(40):
        file.write_text(json.dumps(_mutated(original, random.Random(seed))))
        for use in (
            lambda: write_report([folder], tmp_path / "page.html"),
            lambda: load_architecture(file.parent),
        ):
            try:
                use()
                read += 1
            except UserError as error:
                assert "\n" not in str(error)
    assert read < 80, "nothing was refused"


def test_every_record_says_its_conditions() -> None:
    told = [load_any(path) for path in RESULTS]
    assert all(
        isinstance(result, Result) and result.version and result.seed == 0 for result in told
    )
