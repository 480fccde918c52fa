"""A running `tlsearch serve`, and requests that no browser would send."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from damage import any_bytes
from sandbox import MEMORY_MB, Sandbox
from strikes import Strike, bomb
from victims import Victims

READY_S = 120.0
ANSWER_S = 60.0
STOP_S = 10.0  # SHUTDOWN_S of `bundle/serve.py` is 3; the machine may be busy
METHODS = ("POST", "POST", "POST", "PUT", "GET", "HEAD", "BREW")
PATHS = (
    "/predict", "/predict?top=3", "/predict?top=-1", "/predict?top=9e99", "/predict?top=%00",
    "/labels", "/health", "/", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "*", "//x",
)  # fmt: skip
TYPES = (
    "image/jpeg", "application/octet-stream", "application/json", "text/html",
    "multipart/form-data", "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=" + "b" * 5000, "\x01",
)  # fmt: skip


class Server:
    """A `tlsearch serve` process for a bundle on a free port, with its output in a log file."""

    def __init__(self, bundle: Path, log: Path) -> None:
        self.log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = ["serve", str(bundle), "--port", str(self.port)]
        with log.open("wb") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tlsearch.cli.main", *words], stdout=printed, stderr=printed
            )
        self._seen = 0
        until = time.monotonic() + READY_S
        while not self.healthy() and time.monotonic() < until:
            time.sleep(0.2)
        self.idle_mb = self.memory_mb()

    def healthy(self) -> bool:
        """Whether GET /health answers 200."""
        request = (
            f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
        )
        return b" 200 " in self.send(request.encode())[:20]

    def send(self, request: bytes, stop: bool = False) -> bytes:
        """Send bytes and return the whole answer, empty if there is none.

        `stop` closes the sending side, so that the server does not wait for the rest of a body.
        """
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S) as line,
        ):
            line.sendall(request)
            if stop:
                line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))
        return b""

    def memory_mb(self) -> float:
        """Return the server's peak resident memory; 0 if it has ended."""
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{self.process.pid}/status").read_text()
            peak = next(row for row in text.splitlines() if row.startswith("VmHWM"))
            return int(peak.split()[1]) / 1024
        return 0.0

    def printed(self) -> str:
        """Return what the server has printed since the last call."""
        text = self.log.read_text(errors="replace")
        new, self._seen = text[self._seen :], len(text)
        return new

    def stop(self) -> list[str]:
        """Send SIGTERM while a client stalls, and return the complaints."""
        with socket.create_connection(("127.0.0.1", self.port)) as line:
            line.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n")
            time.sleep(0.5)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return ["hang: SIGTERM did not end the server while a client stalled"]
        return []


@contextlib.contextmanager
def serving(bundle: Path, root: Path) -> Iterator[Server]:
    """Run a server for the duration of a `with` block."""
    server = Server(bundle, root / "serve.log")
    try:
        yield server
    finally:
        if server.process.poll() is None:
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()


def requests(server: Server, sandbox: Sandbox, victims: Victims, rng: random.Random) -> Strike:
    """Send one odd request, or the same one six times at once; the server must survive it."""
    request, whole = _request(server.port, victims, rng)
    (sandbox.work / "request.bin").write_bytes(request)
    answers = (
        _six_at_once(server, request) if rng.random() < 0.03 else [server.send(request, not whole)]
    )
    found = [f"status: {a[:40]!r}" for a in answers if a[9:12] == b"500" or a[9:10] == b"3"]
    printed = server.printed()
    if "Traceback" in printed:
        found.append("traceback: " + printed.strip().splitlines()[-1][:200])
    if server.process.poll() is not None or not server.healthy():
        found.append("hang: the server does not answer any more")
    if (more := server.memory_mb() - server.idle_mb) > MEMORY_MB:
        found.append(f"memory: {more:.0f} MB more")
    return Strike("request.bin sent to tlsearch serve", printed, found)


def _six_at_once(server: Server, request: bytes) -> list[bytes]:
    answers: list[bytes] = []
    senders = [
        threading.Thread(target=lambda: answers.append(server.send(request, True)))
        for _ in "123456"
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return answers


def _request(port: int, victims: Victims, rng: random.Random) -> tuple[bytes, bool]:
    """Return a request and whether its body is as long as the request says."""
    whole = rng.choice(sorted(victims.pictures.items()))[1]
    body = rng.choice(
        (
            lambda: any_bytes(whole, rng),
            lambda: whole,
            lambda: bomb(rng.choice((9_000, 60_000))),
            lambda: rng.randbytes(rng.choice((0, 1, 100, 2**20))),
            lambda: bytes(12 * 2**20),
        )
    )()
    length = rng.choice((str(len(body)),) * 6 + ("-1", "9" * 30, "x", "", str(len(body) + 1)))
    head = [
        f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/1.1",
        f"Host: {rng.choice((f'127.0.0.1:{port}',) * 6 + ('evil.example', '', 'a' * 9000))}",
        f"Content-Type: {rng.choice(TYPES)}",
        f"Content-Length: {length}",
        "Connection: close",
    ]
    chunked, damaged = rng.random() < 0.05, rng.random() < 0.1
    if chunked:
        head.append("Transfer-Encoding: chunked")
    request = "\r\n".join([*head, "", ""]).encode("latin-1") + body
    if damaged:
        request = any_bytes(request, rng)
    return request, length == str(len(body)) and not (chunked or damaged)
