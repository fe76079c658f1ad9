"""The stock ``adb`` client as a library: devices, bulk push, one shell at a time.

adb's own exit codes are not used for remote commands (shell v1 carries none): a remote
command prints its exit code behind a marker.
"""

from __future__ import annotations

import contextlib
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from search_spaces import UserError

MARK = "@@"
"""Begins every line that our remote scripts print about themselves."""


class DeviceLostError(Exception):
    """The connection to the phone ended in the middle of a command."""


class Adb:
    """One phone behind the ``adb`` client.

    Args:
        serial: as ``adb devices`` prints it; None where exactly one phone is attached.
        program: the client, by name or path.

    Raises:
        UserError: adb is missing, or no single usable phone: none, several, unauthorised,
            offline, not attached.
    """

    def __init__(self, serial: str | None = None, *, program: str = "adb") -> None:
        found = shutil.which(program)
        if found is None:
            raise UserError(
                f"{program} not found: install Android's platform tools "
                "(Debian and Ubuntu: apt install adb)"
            )
        self.program = found
        self.serial = _choose(self.devices(), serial)

    def devices(self) -> dict[str, str]:
        """The state of every attached phone by serial: ``device`` means usable."""
        try:
            done = self._run("devices", timeout=60)
        except subprocess.TimeoutExpired:
            raise UserError("adb does not answer: run `adb kill-server` and try again") from None
        if done.returncode:
            raise UserError(f"adb devices failed: {_last_line(done.stdout + done.stderr)}")
        rows = (line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
        return {row[0]: row[1].split()[0] for row in rows}

    def state(self) -> str:
        """``device`` where the phone answers now, else what adb says."""
        try:
            done = self._run("-s", self.serial, "get-state", timeout=20)
        except subprocess.TimeoutExpired:
            return "not answering"
        return done.stdout.strip() or _last_line(done.stderr) or "unknown"

    def wait(self, seconds: float, pause: Callable[[float], None] = time.sleep) -> bool:
        """Wait until the phone is back, at most ``seconds``; True when it is."""
        end = time.monotonic() + seconds
        while True:
            if self.state() == "device":
                return True
            # A USB device comes back by itself, a network device has to be called.
            if re.fullmatch(r".+:\d+", self.serial):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._run("disconnect", self.serial, timeout=20)
                    self._run("connect", self.serial, timeout=20)
                if self.state() == "device":
                    return True
            if time.monotonic() >= end:
                return False
            pause(1.0)

    def push(self, folder: Path, target: str, *, timeout: float = 1800) -> None:
        """Copy a folder in one go; ``target`` is its new path on the phone and must not exist.

        Raises:
            DeviceLostError: the phone is gone.
            UserError: the phone is full, or refuses the files.
        """
        try:
            done = self._run("-s", self.serial, "push", str(folder), target, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise DeviceLostError("the copy did not end") from None
        if done.returncode == 0:
            return
        output = done.stdout + done.stderr
        if "no space left" in output.lower():
            raise UserError(
                f"phone {self.serial} is full (No space left on device): free some storage and "
                "run the same command again, what was measured is kept"
            )
        if self.state() != "device":
            raise DeviceLostError(_last_line(output))
        raise UserError(f"cannot copy files to phone {self.serial}: {_last_line(output)}")

    def shell(self, command: str, *, timeout: float = 60) -> str:
        """Run a short command and return what it printed.

        Raises:
            DeviceLostError: the phone went away.
            UserError: the command failed on the phone.
        """
        lines: list[str] = []
        code: int | None = None
        for line in self.lines(f"{command}\necho {MARK} shell $?", silence=timeout):
            if line.startswith(f"{MARK} shell "):
                code = int(line.split()[2])
            else:
                lines.append(line)
        if code is None:
            raise DeviceLostError("the shell ended early")
        if code:
            detail = lines[-1] if lines else "no message"
            raise UserError(f"phone {self.serial}: a shell command ended with {code}: {detail}")
        return "\n".join(lines)

    def lines(self, command: str, *, silence: float) -> Iterator[str]:
        """The lines a remote command prints, as they come; both outputs together.

        Ends when the connection ends: whether the command came to its own end is for its last
        line to say.

        Raises:
            DeviceLostError: nothing was printed for ``silence`` seconds.
        """
        process = subprocess.Popen(
            [self.program, "-s", self.serial, "shell", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output: queue.Queue[bytes | None] = queue.Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                output.put(line)
            output.put(None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while (line := output.get(timeout=silence)) is not None:
                yield line.decode("utf-8", errors="replace").rstrip("\r\n")
        except queue.Empty:
            raise DeviceLostError(f"no answer for {silence:.0f} s") from None
        finally:
            process.kill()
            process.wait()
            reader.join()

    def _run(self, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )


def _choose(devices: dict[str, str], serial: str | None) -> str:
    if not devices:
        raise UserError(
            "no Android device: connect a phone by cable, switch on USB debugging and check "
            "that `adb devices` shows it"
        )
    if serial is None:
        usable = [name for name, state in devices.items() if state == "device"]
        if len(usable) > 1 or (not usable and len(devices) > 1):
            raise UserError(f"several Android devices ({', '.join(devices)}): name one by --serial")
        serial = usable[0] if usable else next(iter(devices))
    state = devices.get(serial)
    if state is None:
        raise UserError(f"no Android device {serial!r}: attached are {', '.join(devices)}")
    if state == "unauthorized":
        raise UserError(
            f"phone {serial} is unauthorised: unlock it and accept this computer's debugging key"
        )
    if state != "device":
        raise UserError(f"phone {serial} is {state}: unplug it and plug it in again")
    return serial


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
