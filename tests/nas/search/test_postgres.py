"""Workers that share a study on a PostgreSQL server, started here on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from nas.search import run_search
from nas.search.database import sqlite_url
from search_spaces import UserError
from tests.nas.search import process
from tests.nas.search.test_search import EXPERIMENT, family, finish, killed, start, trials

pytest.importorskip(
    "psycopg", reason="PostgreSQL driver missing: pip install netadapt[distributed]"
)


def program(name):
    found = shutil.which(name)
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(candidates[-1]) if candidates else None)


@pytest.fixture(scope="module")
def server():
    """The URL of a fresh server that ends with the tests."""
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    # the server refuses to run as root
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    made = subprocess.run(
        [initdb, "-D", data, "-U", "nas", "--auth=trust", "--no-sync"],
        capture_output=True,
        text=True,
        cwd=folder,
        **user,
    )
    if made.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"PostgreSQL cannot be set up here: {made.stderr.strip()[:200]}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = subprocess.Popen(
        [postgres, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        **user,
    )
    for line in running.stderr:
        if "ready to accept connections" in line:
            break
    yield f"postgresql+psycopg://nas@127.0.0.1:{port}/postgres"
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    shutil.rmtree(folder)


def test_a_database_that_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.search.database.RETRY_SECONDS", (0.01, 0.01))
    away = "postgresql+psycopg://nas:secret@127.0.0.1:1/postgres"
    with pytest.raises(UserError, match=r"does not answer .*--resume") as refused:
        run_search(*process.build(EXPERIMENT), tmp_path, storage=away)
    assert "secret" not in str(refused.value)


def test_two_workers_one_killed_and_one_late(server, tmp_path):
    single = tmp_path / "single"
    run_search(*process.build(EXPERIMENT), single, experiment=EXPERIMENT)
    shared = tmp_path / "shared"
    first = start(shared, "--storage", server, paced=3)
    first.stdout.readline()
    killed(1, "--study", server)
    late = start("--study", server)
    finish(first)
    finish(late)
    assert family(shared) == family(single)
    # no slot lost and none counted twice
    assert trials(server) == trials(sqlite_url(single / "study.db"))
