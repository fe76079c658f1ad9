"""A head start helps where it can, says nothing, and never outlives who asked for it."""

import os
import select
import subprocess
import sys

import pytest

from nas.steps.headstart import cores, head_start

pytestmark = pytest.mark.skipif(cores() < 2, reason="one core")


def test_the_task_is_done_when_the_wait_ends(tmp_path):
    with head_start(exec, f"open({str(tmp_path / 'done')!r}, 'w').write('yes')") as wait:
        wait()
        assert (tmp_path / "done").read_text() == "yes"


def test_an_error_is_left_to_the_caller(capfd):
    with head_start(exec, "raise ValueError('later')") as wait:
        wait()
    assert capfd.readouterr() == ("", "")


PARENT = """
from nas.steps.headstart import head_start
with head_start(exec, {task!r}):
    {then}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="named pipes")
@pytest.mark.parametrize("end", ["killed", "error"])
def test_the_other_process_ends_with_this_one(tmp_path, end):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    task = f"held = open({str(fifo)!r}, 'w', buffering=1); held.write('here\\n')\n"
    task += "import threading; threading.Event().wait()"
    then = "input()" if end == "killed" else "input(); raise RuntimeError"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(task=task, then=then)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with fifo.open() as pipe:
        assert pipe.readline() == "here\n"
        if end == "killed":
            parent.kill()
        else:
            parent.stdin.write(b"\n")
            parent.stdin.flush()
        assert select.select([pipe], [], [], 60)[0], "the other process lives on"
        assert pipe.read() == ""
    parent.stdin.close()
    parent.wait()
