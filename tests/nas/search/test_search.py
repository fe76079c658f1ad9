import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from nas.optimizers import optimizer
from nas.search import run_search
from nas.search.database import sqlite_url
from nas.search.record import Record
from nas.search.rows import ATTRIBUTES, HEARTBEATS
from search_spaces import Architecture, UserError
from tests.nas.problems import tiny_problem
from tests.nas.search import process

SCRIPT = Path(process.__file__)
OLD_STUDY = Path(__file__).parents[2] / "assets" / "study-1.db.gz"
KILLS = int(os.environ.get("NAS_TEST_KILLS", "2"))
EXPERIMENT = {"share": 0.6, "params": 0.9}


def start(*arguments, paced=None):
    """A process of the search; ``paced`` is how many evaluations it may end for now."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    stdin = subprocess.DEVNULL if paced is None else subprocess.PIPE
    running = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)
    if paced is not None:
        running.stdin.write("\n" * paced)
        running.stdin.flush()
    return running


def finish(running):
    """Let it go on to its end; the lines that it had left to print."""
    output, _ = running.communicate(timeout=240)
    assert running.returncode == 0
    return output.splitlines()


def killed(lines, *arguments):
    """Start a process and SIGKILL it after so many evaluations began, wherever it then is."""
    running = start(*arguments, paced=lines + 1)
    for _ in range(lines):
        assert running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.communicate()


def family(folder):
    return json.loads((folder / "result.json").read_text())["family"]


def trials(url):
    """Every trial's identity, state and values; what a resumed search must reproduce."""
    study = optuna.load_study(study_name=None, storage=url)
    return sorted(
        (t.user_attrs["iteration"], t.user_attrs["slot"], t.state.name, t.values, t.params)
        for t in study.trials
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    built = process.build(EXPERIMENT)
    result = run_search(*built, folder, experiment=EXPERIMENT)
    return folder, result, trials(sqlite_url(folder / "study.db"))


def test_the_result_is_what_the_contract_says(uninterrupted):
    folder, result, recorded = uninterrupted
    data = json.loads((folder / "result.json").read_text())
    assert data["schema"] == 1 and data["seed"] == 0 and data["version"]
    assert data["evaluations"] + data["failures"] == len(recorded)
    assert data["failures"] == len(data["family"]) - 1  # slot 3 of every iteration
    assert set(data["seconds"]) >= {"search", "evaluation"}
    budgets = {name: budget["value"] for name, budget in data["budgets"].items()}
    assert budgets == dict(process.build(EXPERIMENT)[0].problem.budgets)
    for i, entry in enumerate(data["family"]):
        assert entry["iteration"] == i
        assert entry["score"] == {
            "name": "accuracy",
            "value": result.family[i].score.value,
            "unit": "%",
            "higher_is_better": True,
            "split": "holdout",
        }
        assert Architecture.from_dict(entry["architecture"]) == result.family[i].architecture
    assert all(data["best"]["metrics"][name] <= budget for name, budget in budgets.items())
    assert any(path.name.startswith("events") for path in folder.iterdir())


def test_the_study_is_an_ordinary_one(uninterrupted):
    folder, result, _ = uninterrupted
    study = optuna.load_study(study_name=None, storage=sqlite_url(folder / "study.db"))
    assert study.metric_names == ["accuracy", "macs"]
    winner = result.family[2]
    (trial,) = (
        t
        for t in study.trials
        if (t.user_attrs["iteration"], t.user_attrs["slot"]) == (2, winner.slot)
    )
    assert trial.values == [winner.score.value, winner.metrics["macs"]]
    assert trial.params == dict(winner.architecture) == trial.user_attrs["architecture"]
    assert trial.user_attrs["metrics"] == dict(winner.metrics)
    assert trial.user_attrs["score"] == winner.score.value
    assert trial.datetime_complete >= trial.datetime_start
    assert [t.number for t in study.trials] == list(range(len(study.trials)))


def test_killed_anywhere_and_resumed_it_ends_in_the_same_family(uninterrupted, tmp_path):
    reference, _, recorded = uninterrupted
    source, resume = random.Random(0), []
    for _ in range(KILLS):
        killed(source.randrange(2, 4), tmp_path, *resume)
        resume = ["--resume"]
    lines = finish(start(tmp_path, "--resume"))
    assert 0 < len(lines) < len(recorded)  # what was stored is not evaluated again
    assert family(tmp_path) == family(reference)
    assert trials(sqlite_url(tmp_path / "study.db")) == recorded


def test_a_guided_search_of_several_workers_killed_and_resumed_ends_in_the_same_family(tmp_path):
    """One worker; two that are killed; four that go on. Their model learns the same."""
    experiment = {**EXPERIMENT, "optimizer": "guided"}
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    run_search(*process.build(experiment), alone, experiment=experiment)
    guided = ["--optimizer", "guided"]
    killed(9, shared, "--workers", 2, *guided)
    finish(start(shared, "--workers", 4, "--resume", *guided))
    assert family(shared) == family(alone)
    assert trials(sqlite_url(shared / "study.db")) == trials(sqlite_url(alone / "study.db"))


def test_a_result_says_how_sure_its_scores_are_and_what_the_model_expects(uninterrupted, tmp_path):
    experiment = {**EXPERIMENT, "optimizer": "guided"}
    result = run_search(*process.build(experiment), tmp_path, experiment=experiment)
    for member in (*result.family, result.best):
        assert member.interval == (member.score.value - 1, member.score.value + 1)
        assert abs(member.expected - member.score.value) < 39
    scores = [m.score.value for m in result.family[1:]]
    # winners were chosen for their score: the model expects less of them, on average
    assert sum(m.expected for m in result.family[1:]) < sum(scores)
    # the paper's rule has no model
    assert {m.expected for m in uninterrupted[1].family} == {None}


def test_workers_that_die_and_join_change_nothing(uninterrupted, tmp_path):
    reference, _, recorded = uninterrupted
    main = start(tmp_path, "--workers", 2, paced=4)
    main.stdout.readline()
    url = sqlite_url(tmp_path / "study.db")
    killed(1, "--study", url)
    late = start("--study", url)
    finish(main)
    finish(late)
    assert family(tmp_path) == family(reference)
    assert trials(url) == recorded


@pytest.fixture
def record(tmp_path):
    found = optimizer("mcd", tiny_problem(), **process.SETTINGS)
    url = sqlite_url(tmp_path / "study.db")
    record = Record.create(
        url,
        "search",
        objectives=[("accuracy", "maximize"), ("macs", "minimize")],
        attributes={"identity": {}},
    )
    assert record.open_iteration(0, found.ask(), found.problem.space)
    assert not record.open_iteration(0, found.ask(), found.problem.space)
    return record


def test_a_claim_is_exclusive_until_it_expires(record):
    slots = list(record.slots(0).values())
    claimed = record.claim(slots, "elsewhere 1 1")
    assert claimed is not None and record.claim(slots, "elsewhere 2 1") is None

    def free():
        return record.free_expired(list(record.slots(0).values()), worker="here 1 1")

    assert free() == 0
    # the worker is silent for longer than a claim lasts
    past = sa.update(HEARTBEATS).values(heartbeat=sa.func.datetime("now", "-1 day"))
    for renewed in (True, False):
        with record._engine.begin() as connection:
            connection.execute(past)
        if renewed:
            record.renew(claimed.trial)
            assert free() == 0
    assert free() == 1
    assert record.claim(slots, "elsewhere 2 1") is not None


def test_the_first_complete_score_of_a_slot_counts(record):
    slots = list(record.slots(0).values())
    slot = record.claim(slots, "elsewhere 1 1")
    evaluation = process.Evaluation(50.0, 1.0, 0.1)
    assert record.complete(slot, evaluation, 10.0)
    assert not record.complete(slot, replace(evaluation, score=60.0), 10.0)
    assert not record.fail(slot, "late", 0.1)
    stored = record.slots(0)[0]
    assert (stored.score, stored.loss, stored.state) == (50.0, 1.0, TrialState.COMPLETE)
    with record._engine.begin() as connection:
        keys = connection.execute(sa.select(ATTRIBUTES.c.key)).scalars().all()
    assert len(keys) == len(set(keys))


def test_a_finished_search_is_not_overwritten(uninterrupted):
    folder, result, recorded = uninterrupted
    before = (folder / "result.json").read_bytes()
    with pytest.raises(UserError, match="--resume"):
        run_search(*process.build(EXPERIMENT), folder)
    assert (folder / "result.json").read_bytes() == before
    again = run_search(*process.build(EXPERIMENT), folder, resume=True)
    assert list(again.family) == list(result.family)
    assert trials(sqlite_url(folder / "study.db")) == recorded


def test_another_search_is_refused(uninterrupted):
    folder, *_ = uninterrupted
    with pytest.raises(UserError, match=r"another budgets \(macs: .* there, .* here"):
        run_search(*process.build({"share": 0.5, "params": 0.9}), folder, resume=True)


def test_a_study_that_is_none(tmp_path):
    from nas.search import join_search

    with pytest.raises(UserError, match="no such study"):
        join_search(sqlite_url(tmp_path / "study.db"), process.build)
    (tmp_path / "broken.db").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="cannot be used as a study"):
        join_search(sqlite_url(tmp_path / "broken.db"), process.build)
    with pytest.raises(UserError, match="no database URL"):
        join_search("study", process.build)
    optuna.create_study(study_name="mine", storage=sqlite_url(tmp_path / "foreign.db"))
    with pytest.raises(UserError, match="not written by a search"):
        join_search(sqlite_url(tmp_path / "foreign.db"), process.build)


def test_a_study_of_version_0_1_0_is_gone_on_with(uninterrupted, tmp_path):
    """It was killed with four slots of iteration 4 unfinished, one of them claimed."""
    (tmp_path / "study.db").write_bytes(gzip.decompress(OLD_STUDY.read_bytes()))
    run_search(*process.build(EXPERIMENT), tmp_path, experiment=EXPERIMENT, resume=True)
    found, here = family(tmp_path), family(uninterrupted[0])
    # that version stored no intervals
    assert {member.pop("interval") is None for member in found[:4]} == {True}
    assert len([member.pop("interval", None) for member in [*found, *here]]) == 2 * len(found) > 8
    assert found == here
    assert trials(sqlite_url(tmp_path / "study.db")) == uninterrupted[2]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM trial_user_attributes WHERE key = 'slot'",
        "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'architecture'",
        "UPDATE trials SET state = 'x'",
        "DELETE FROM study_directions WHERE objective = 1",
        "DROP TABLE trials",
    ],
)
def test_a_study_that_was_edited_is_refused(uninterrupted, tmp_path, change):
    with closing(sqlite3.connect(uninterrupted[0] / "study.db")) as whole:
        whole.execute("VACUUM INTO ?", [str(tmp_path / "study.db")])
    with closing(sqlite3.connect(tmp_path / "study.db")) as database, database:
        database.execute(change)
    with pytest.raises(UserError, match=r"edited or damaged|cannot be used as a study"):
        run_search(*process.build(EXPERIMENT), tmp_path, experiment=EXPERIMENT, resume=True)


@pytest.mark.skipif(find_spec("pymysql") is not None, reason="the driver is installed")
def test_a_missing_driver_is_named_and_no_damage():
    with pytest.raises(UserError, match="driver is missing") as caught:
        Record.open("mysql+pymysql://nobody@127.0.0.1/none")
    assert "damaged" not in str(caught.value)
