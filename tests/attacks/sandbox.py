"""Run one command under attack in a forked child with its own folder, watched from outside.

The parent imports what commands need before it forks, so a case costs only the command itself.
"""

import dataclasses
import faulthandler
import hashlib
import importlib
import os
import resource
import select
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE_S = 60.0  # more than a command that only reads takes on a busy machine
LONG_S = 600.0  # more than a command that starts Ray or trains takes
MEMORY_MB = 2048  # above the parent's resident memory at the fork
MESSAGE_BYTES = 20_000  # of a command's stderr about one damaged file
CODES = frozenset(
    {0, 1, 2, 3, 4, 130}
)  # documented in the README, which adds 129: the terminal closed
LONG = ("resume", "export")
LIBRARIES = ("pandas", "plotly", "optuna", "sklearn.metrics", "jinja2", "PIL.Image", "yaml")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a command: exit code (negative for a signal), output, seconds, MB used."""

    code: int
    out: str
    err: str
    seconds: float
    memory_mb: float

    def complaints(self, allowed: frozenset[int] = CODES) -> list[str]:
        """Return what the command did that no command may do, whatever its input."""
        printed = self.out + self.err
        found = []
        if self.code == -signal.SIGKILL:
            found.append(f"hang: no end after {self.seconds:.0f} s")
        elif self.code not in allowed:
            found.append(f"exit code {self.code}")
        if "Traceback (most recent call last)" in printed:
            found.append("traceback: " + printed.strip().splitlines()[-1][:200])
        if self.memory_mb > MEMORY_MB:
            found.append(f"memory: {self.memory_mb:.0f} MB more")
        if self.code and not self.err.strip():
            found.append(f"silence: exit code {self.code} without a word")
        if self.code and len(self.err) > MESSAGE_BYTES:
            found.append(f"flood: {len(self.err)} characters on stderr")
        if "\x1b" in printed:
            found.append("escape: a terminal escape was printed")
        return found


class Sandbox:
    """A folder with `work` (where commands run), `home`, and `elsewhere`, which none may touch."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work, self.home, self.elsewhere = (root / n for n in ("work", "home", "elsewhere"))
        self.home.mkdir(parents=True)
        self.elsewhere.mkdir()
        (self.elsewhere / "thesis.txt").write_text("years of work\n")
        self._untouched = snapshot(self.elsewhere)
        self.undamaged: dict[str, str] = {}  # the output of commands on undamaged files
        self.clear()

    def clear(self) -> None:
        """Empty `work`."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()

    def call(self, argv: Sequence[str]) -> Outcome:
        """Run `tlsearch` with these arguments in `work`."""
        return self.run(lambda: _tlsearch(argv), LONG_S if argv[0] in LONG else None)

    def run(self, body: Callable[[], int], patience_s: float | None = None) -> Outcome:
        """Run a function in its own child process; its return value is the exit code."""
        patience_s = patience_s or PATIENCE_S
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(self, patience_s, body)
        code, used_mb = _wait(child, began + patience_s)
        out, err = ((self.root / n).read_text(errors="replace") for n in ("stdout", "stderr"))
        before_mb = float((self.root / "resident").read_text())
        return Outcome(code, out, err, time.monotonic() - began, used_mb - before_mb)

    def trespasses(self) -> list[str]:
        """Return a complaint for each file in `elsewhere` that was touched."""
        now = snapshot(self.elsewhere)
        differing = {*now.items()} ^ {*self._untouched.items()}
        return [f"outside: {name} was touched" for name in sorted({n for n, _ in differing})]


def warm(*more: str) -> None:
    """Import the modules that commands import late, so that children inherit them."""
    for name in ("tlsearch.cli.main", *LIBRARIES, *more):
        importlib.import_module(name)


def snapshot(folder: Path) -> dict[str, str]:
    """Map each path under a folder to its mode and content digest, without following links."""
    return {str(path.relative_to(folder)): _look(path) for path in sorted(folder.rglob("*"))}


def _look(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link to {os.readlink(path)}"
    if not stat.S_ISREG(mode):
        return stat.filemode(mode)
    return f"{stat.filemode(mode)} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _tlsearch(argv: Sequence[str]) -> int:
    from tlsearch.cli.main import main

    sys.argv = ["tlsearch", *argv]
    return main()


def _become(sandbox: Sandbox, patience_s: float, body: Callable[[], int]) -> None:
    """Run the body in the child process; never return."""
    code = 70
    try:
        os.setsid()
        os.chdir(sandbox.work)
        os.environ.update({"HOME": str(sandbox.home), "COLUMNS": "100"})
        for name, number in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(sandbox.root / name, os.O_CREAT | os.O_TRUNC | os.O_RDWR), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.dump_traceback_later(patience_s - 5, exit=False)
        (sandbox.root / "resident").write_text(str(_resident_mb()))
        code = body()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, until: float) -> tuple[int, float]:
    """Return (exit code, peak MB) of a child; kill it and its process group at the deadline."""
    handle = os.pidfd_open(child)
    try:
        ended, _, _ = select.select([handle], [], [], max(0.0, until - time.monotonic()))
        if not ended:
            os.killpg(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
