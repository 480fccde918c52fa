"""A real search on tiny pictures for injecting faults, run through the command line with Ray."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

from tlsearch.base.errors import RecordError
from tlsearch.results.record.journal import TrialRecord, read_journal
from tlsearch.search.handle import Study

SPACE = """
data: {{kind: folder, path: {pictures}, image_px: 32, splits: {{train: 60, validation: 70, test: 80}}}}
space:
  backbone: strokes
  unfrozen_layers: [0, 15]
  fine_tune_lr: {{low: 1e-4, high: 1e-2, log: true}}
  head_lr: {{low: 1e-3, high: 3e-2, log: true}}
  dropout: [0.0, 0.2]
epochs: 4
trials: {trials}
confirm: 0
resources: {{max_concurrent: 2}}
cache: {cache}
"""  # noqa: E501
TRIALS = 5
PICTURES = 210
TIMEOUT_S = 600.0  # reached only if something hangs, not on a busy machine
ENDED = ("finished", "stopped", "diverged", "failed")


class SmallStudy:
    """One study in its own folder, its driver, and what can be observed from outside.

    `disk` is the driver's path of the folder that holds study and cache, `seen` this process's path
    of it; they differ if the driver, started through `prefix`, has its own mounts.
    """

    def __init__(
        self,
        root: Path,
        disk: Path | None = None,
        seen: Path | None = None,
        prefix: Sequence[str] = (),
        trials: int = TRIALS,
    ) -> None:
        self.root = root
        self.disk = disk or root / "disk"
        self.seen = seen or self.disk
        self.prefix = tuple(prefix)
        self.pictures = root / "pictures"
        self.sacrificed: set[int] = set()  # trials whose every worker was killed
        self.complaints: list[str] = []  # what the drivers did wrong
        self._driver: subprocess.Popen[bytes] | None = None
        self.seen.mkdir(parents=True, exist_ok=True)
        if not self.pictures.exists():
            write_pictures(self.pictures)
        space = SPACE.format(pictures=self.pictures, trials=trials, cache=self.disk / "cache")
        (root / "space.yaml").write_text(space)

    @property
    def study(self) -> Path:
        """The study directory, as seen from this process."""
        return self.seen / "study"

    @property
    def driver(self) -> subprocess.Popen[bytes]:
        """The driver that was started last."""
        assert self._driver, "no driver was started"
        return self._driver

    def start(self, extend: bool = True, /, **env: str) -> subprocess.Popen[bytes]:
        """Start or resume the study; with `extend`, a finished one gets more trials."""
        with (self.root / "driver.log").open("wb") as log:
            self._driver = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "tlsearch.cli.main", *self._verb(extend)],
                cwd=self.root,
                env={**os.environ, "HOME": str(self.root), **env},
                stdout=log,
                stderr=log,
            )
        return self.driver

    def _verb(self, extend: bool) -> list[str]:
        inner = str(self.disk / "study")
        if not (self.study / "study.yaml").exists():
            return ["run", "space.yaml", "--study", inner]
        return ["resume", inner, *(["--trials", "+4"] if extend and self.owed() == 0 else [])]

    def owed(self) -> int:
        """Return how many trials the study still has to train."""
        return Study(self.study).config.trials - len(self.ended())

    def ended(self) -> dict[int, TrialRecord]:
        """Return the trials that have ended, by number."""
        with contextlib.suppress(RecordError):
            trials = read_journal(self.study / "journal.log").trials
            return {trial.number: trial for trial in trials if trial.state in ENDED}
        return {}

    def finish(self) -> None:
        """Resume the study to its end."""
        self.start(False)
        self.expect(0)

    def expect(self, code: int, text: str = "") -> None:
        """Wait until the driver ends; complain about another exit code or output without `text`."""
        actual = self.driver.wait(TIMEOUT_S)
        if actual != code or text not in self.printed():
            self.complaints.append(
                f"exit code {actual}, expected {code} and {text!r}: ...{self.printed()[-2000:]}"
            )

    def lines(self) -> int:
        """Return the number of journal lines: the progress of the search on any machine."""
        with contextlib.suppress(OSError):
            return (self.study / "journal.log").read_bytes().count(b"\n")
        return 0

    def wait_for_lines(self, count: int) -> bool:
        """Wait for that many more journal lines; return whether the driver is still alive."""
        wanted, deadline = self.lines() + count, time.monotonic() + TIMEOUT_S
        while self.alive() and self.lines() < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the search stands still; see {self.root / 'driver.log'}")
            time.sleep(0.01)
        return self.alive()

    def alive(self) -> bool:
        """Whether a driver is running."""
        return self._driver is not None and self._driver.poll() is None

    def workers(self) -> dict[int, int]:
        """Return the trial of each worker of this study by pid, found by its log file."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                log = Path(os.readlink(process / "fd" / "1"))
                if log.name == "log" and log.parent.parent == self.disk / "study" / "trials":
                    found[int(process.name)] = int(log.parent.name)
        return found

    def workers_of(self, trial: int) -> set[int]:
        """Return the pids of the processes that train a trial."""
        return {worker for worker, number in self.workers().items() if number == trial}

    def printed(self) -> str:
        """Return the output of the last driver."""
        return (self.root / "driver.log").read_text(errors="replace")

    def close(self) -> None:
        """Stop the driver if one is running."""
        if self.alive():
            self.driver.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.driver.wait(20)
            self.driver.kill()
            self.driver.wait()


def write_pictures(folder: Path) -> None:
    """Write digits as PNG files, one folder per class."""
    digits = load_digits()
    for place in range(PICTURES):
        label = folder / str(digits.target[place])
        label.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[place] * 15.9).astype("uint8")
        Image.fromarray(pixels).resize((32, 32)).save(label / f"{place:03d}.png")


@contextlib.contextmanager
def small_study(root: Path, trials: int = TRIALS) -> Iterator[SmallStudy]:
    """Yield a study on the machine's disk; no driver is left when the block ends."""
    study = SmallStudy(root, trials=trials)
    try:
        yield study
    finally:
        study.close()


@contextlib.contextmanager
def study_on_small_disk(
    root: Path, size: str = "64m", trials: int = TRIALS
) -> Iterator[SmallStudy]:
    """Yield a study on its own file system; raise PermissionError if none can be mounted.

    A child process holds the mount namespace open. It ends with this process, however that ends, so
    nothing stays mounted.
    """
    disk = root / "disk"
    disk.mkdir(parents=True)
    script = f'mount -t tmpfs -o size={size} tlsearch "$0" && echo mounted && exec cat'
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, str(disk)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        if holder.stdout.readline() != "mounted\n":
            raise PermissionError("no file system can be mounted here")
        enter = ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", f"--wd={root}"]
        seen = Path(f"/proc/{holder.pid}/root") / disk.relative_to("/")
        study = SmallStudy(root, disk, seen, enter, trials)
        try:
            yield study
        finally:
            study.close()
            holder.stdin.close()
