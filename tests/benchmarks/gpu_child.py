"""A child process that answers requests one by one; if it dies, only one answer is lost."""

import json
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import IO, Any


class Child:
    """Runs `command` at the first request, and again at the next request after it has ended.

    A request and its answer are one line of JSON each. A request that takes more than `limit_s`
    kills the process.
    """

    def __init__(self, command: Sequence[str], log: IO[str], limit_s: float) -> None:
        self._command, self._log, self._limit_s = command, log, limit_s
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; without one, `failed` says how the process ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
        began = time.monotonic()
        late = threading.Timer(self._limit_s, self._process.kill)
        late.start()
        try:
            line = self._exchange(self._process, json.dumps(request))
        finally:
            late.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code, self._process = self._process.wait(), None
        if time.monotonic() - began >= self._limit_s:
            return {"failed": f"took more than {self._limit_s:g} s"}
        return {"failed": f"its process ended with exit code {code}, see the log"}

    @staticmethod
    def _exchange(process: "subprocess.Popen[str]", request: str) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return ""
        return process.stdout.readline()
