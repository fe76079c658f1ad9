"""The device side of adb on a loopback port: transport protocol v1, sync and shell v1.

A stock ``adb`` client reaches it with ``adb connect 127.0.0.1:PORT``. What the commands do
and how the device misbehaves is the business of the phone it is given (``fake_phone.py``).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lut.fake_phone import Phone

VERSION = 0x01000000
MAX_PAYLOAD = 65536
HEADER = struct.Struct("<6I")
AUTH_TOKEN = 1


class Stream:
    """One service opened by the client: a byte pipe with an acknowledgement per write."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self.connection, self.local, self.remote = connection, local, remote
        self.inbox: queue.Queue[bytes | None] = queue.Queue()
        self.ready = threading.Semaphore(0)
        self.buffer = b""
        self.closed = False
        self.on_close: Callable[[], None] = lambda: None

    def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            block = self.inbox.get()
            if block is None:
                raise ConnectionError("stream closed")
            self.buffer += block
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_PAYLOAD):
            block = data[start : start + MAX_PAYLOAD]
            self.connection.send(b"WRTE", self.local, self.remote, block)
            self.ready.acquire()
            if self.closed:
                raise ConnectionError("stream closed")

    def close(self) -> None:
        self.closed = True
        self.inbox.put(None)
        self.ready.release()
        self.on_close()


class Connection:
    """One client on one socket, until either side drops it."""

    def __init__(self, phone: Phone, link: socket.socket) -> None:
        self.phone, self.link = phone, link
        self.streams: dict[int, Stream] = {}
        self.lock = threading.Lock()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        code = int.from_bytes(command, "little")
        header = HEADER.pack(code, first, second, len(data), sum(data), code ^ 0xFFFFFFFF)
        with self.lock:
            self.link.sendall(header + data)

    def packets(self) -> Iterator[tuple[bytes, int, int, bytes]]:
        with self.link.makefile("rb") as source:
            while len(header := source.read(HEADER.size)) == HEADER.size:
                code, first, second, length, _, _ = HEADER.unpack(header)
                yield code.to_bytes(4, "little"), first, second, source.read(length)

    def serve(self) -> None:
        try:
            for command, first, second, data in self.packets():
                self.handle(command, first, second, data)
        except OSError:
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Pull the cable."""
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()
        for stream in list(self.streams.values()):
            stream.close()

    def handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN":
            if self.phone.offline:
                return
            if not self.phone.authorised:
                self.send(b"AUTH", AUTH_TOKEN, 0, os.urandom(20))
                return
            banner = f"device::ro.product.name=fake;ro.product.model={self.phone.model};features=\0"
            self.send(b"CNXN", VERSION, MAX_PAYLOAD, banner.encode())
        elif command == b"AUTH" and first == 2:  # a signature; the public key is never accepted
            self.send(b"AUTH", AUTH_TOKEN, 0, os.urandom(20))
        elif command == b"OPEN":
            stream = Stream(self, local=len(self.streams) + 1, remote=first)
            self.streams[stream.local] = stream
            service = data.rstrip(b"\0").decode()
            threading.Thread(target=self.run, args=(stream, service), daemon=True).start()
        elif second in self.streams:
            stream = self.streams[second]
            if command == b"WRTE":
                self.send(b"OKAY", stream.local, stream.remote)
                stream.inbox.put(data)
            elif command == b"OKAY":
                stream.ready.release()
            elif command == b"CLSE":
                stream.close()

    def run(self, stream: Stream, service: str) -> None:
        try:
            self.send(b"OKAY", stream.local, stream.remote)
            if service == "sync:":
                self.sync(stream)
            elif service.startswith("shell:"):
                self.shell(stream, service.removeprefix("shell:"))
            if not stream.closed:
                self.send(b"CLSE", stream.local, stream.remote)
        except OSError:
            pass

    def shell(self, stream: Stream, command: str) -> None:
        """Shell v1: one pipe for both outputs, line ends of a terminal, no exit code."""
        self.phone.shells.append(command)
        process = subprocess.Popen(
            ["sh", "-c", self.phone.localise(command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.phone.environment,
            start_new_session=True,
        )
        assert process.stdout is not None

        def hang_up() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        stream.on_close = hang_up
        try:
            while block := os.read(process.stdout.fileno(), MAX_PAYLOAD):
                stream.write(block.replace(b"\n", b"\r\n"))
        finally:
            stream.on_close = lambda: None
            hang_up()
            process.stdout.close()
            process.wait()

    def sync(self, stream: Stream) -> None:
        def message(kind: bytes, data: bytes) -> None:
            stream.write(kind + struct.pack("<I", len(data)) + data)

        while True:
            kind, length = struct.unpack("<4sI", stream.read(8))
            if kind == b"QUIT":
                return
            path = stream.read(length).decode()
            if kind == b"STAT":
                stream.write(b"STAT" + struct.pack("<III", *self.phone.stat(path)))
            elif kind == b"SEND":
                content = b""
                while (block := struct.unpack("<4sI", stream.read(8)))[0] == b"DATA":
                    content += stream.read(block[1])
                name, mode = path.rsplit(",", 1)
                error = self.phone.receive(name, int(mode), content)
                message(b"FAIL" if error else b"OKAY", error.encode())
            elif kind == b"RECV":
                file = Path(self.phone.localise(path))
                if not file.is_file():
                    message(b"FAIL", b"No such file or directory")
                    continue
                content = file.read_bytes()
                for start in range(0, len(content), MAX_PAYLOAD):
                    message(b"DATA", content[start : start + MAX_PAYLOAD])
                message(b"DONE", b"")


class Daemon:
    """Listens on a free loopback port on behalf of one phone."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.connections: list[Connection] = []
        self.port = 0
        self.plug_in()
        self.serial = f"127.0.0.1:{self.port}"
        phone.unplug, phone.plug_in = self.unplug, self.plug_in

    def plug_in(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self.phone, link)
            self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def unplug(self, *, away: bool) -> None:
        """Drop every connection; ``away`` refuses new ones until `plug_in`."""
        if away:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        for connection in self.connections:
            connection.drop()
        self.connections.clear()

    def close(self) -> None:
        self.unplug(away=True)
        self.phone.server.close()
