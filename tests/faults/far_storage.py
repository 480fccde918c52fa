"""A real S3 server on loopback, behind a proxy that fails requests, loses answers or disappears."""

import contextlib
import http.client
import random
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUCKET = "studies"


class FarStorage:
    """The proxy's address, the faults it injects, and the requests it passed on.

    `one_in` harms one in that many requests: an error 500, or a connection reset before or after
    the server received the request. `away` resets every connection.
    """

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self.server = (host, port)
        self.one_in = 0
        self.away = False
        self.passed: list[tuple[str, str]] = []  # method, path
        self.harmed = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def written(self) -> list[str]:
        """Return the names of the uploaded files, relative to the bucket, in order."""
        marker = f"/{BUCKET}/"
        return [
            path.split("?")[0][len(marker) :] for method, path in self.passed if method == "PUT"
        ]

    def harm(self) -> str:
        """Return the fault of the next request, "" for none."""
        with self._lock:
            if self.away:
                return "reset before"
            if not self.one_in or self._random.randrange(self.one_in):
                return ""
            self.harmed += 1
            return self._random.choice(["error", "reset before", "reset after"])


def _handler(far: FarStorage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body, harm = self._body(), far.harm()
            if harm == "reset before":
                return self._reset()
            if harm == "error":
                return self._answer(500, [("Content-Length", "0")], b"")
            far.passed.append((self.command, self.path))
            status, headers, answer = self._forward(body)
            if harm == "reset after":
                return self._reset()
            return self._answer(status, headers, answer)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            server = http.client.HTTPConnection(*far.server, timeout=30)
            kept = {k: v for k, v in self.headers.items() if k.lower() != "transfer-encoding"}
            if body:
                kept["Content-Length"] = str(len(body))
            server.request(self.command, self.path, body, kept)
            answer = server.getresponse()
            data = answer.read()
            server.close()
            return answer.status, answer.getheaders(), data

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _reset(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815

    return Handler


@contextlib.contextmanager
def far_storage(seed: int = 0) -> Iterator[FarStorage]:
    """Run an S3 server with one empty bucket behind its proxy."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    far = FarStorage(*server.get_host_and_port(), seed)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(far))
    proxy.daemon_threads = True
    far.port = proxy.server_port
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        _reset_bucket(*far.server)
        yield far
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()


def _reset_bucket(host: str, port: int) -> None:
    for method, path in (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request(method, path)
        assert connection.getresponse().status == 200
        connection.close()


def environment(far: FarStorage) -> dict[str, str]:
    """Return the variables that lead a process to the proxy, with credentials valid only there."""
    return {
        "AWS_ENDPOINT_URL": far.endpoint,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
