"""The study directory: which file is where, and who may write it."""

import contextlib
import functools
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from tlsearch.base.errors import ConfigError, RecordError
from tlsearch.base.files import Stamp, absolute, stamp, write_text
from tlsearch.base.leftovers import sweep
from tlsearch.base.links import inside, refuse_link
from tlsearch.base.machine import machine
from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.results.record.file_names import (
    ABOUT,
    ARTIFACTS,
    BEST,
    BUNDLE,
    DRIVER_LOCK,
    JOURNAL,
    PREDICTIONS,
    RAY,
    REPORT,
    RESUME,
    TENSORBOARD,
    TRIAL_LOCK,
    TRIALS,
    trial_name,
)
from tlsearch.results.record.study_file import read_study_file

if TYPE_CHECKING:
    from tlsearch.results.record.journal import Journal

PACKAGES = ("tlsearch", "ray", "optuna", "tensorflow", "keras", "numpy", "pandas", "scikit-learn")
TRIAL_WAIT_S = 60.0  # for the worker of a killed driver, which ends within seconds


class StudyDirectory:
    """Paths of one study; see the README's table of the study directory.

    The directory itself may lie behind links. No link in it is followed: the folders given here
    raise RecordError where they are links, its files are read by `base.links.read_plain`, and
    `whole_file` replaces a link.
    """

    def __init__(self, root: Path, url: str | None = None) -> None:
        self.root = absolute(root)
        self.url = url  # where the study is, if this is a local copy of one in a bucket
        self.study_file = self.root / ABOUT
        self.journal_file = self.root / JOURNAL
        self._about: tuple[Stamp, dict[str, Any]] | None = None

    @functools.cached_property
    def journal(self) -> "Journal":
        """The journal, which this object parses once; imports Optuna."""
        from tlsearch.results.record.journal import Journal

        return Journal(self.journal_file)

    @property
    def trials(self) -> Path:
        """The folders of trials."""
        return self.folder(TRIALS)

    @property
    def artifacts(self) -> Path:
        """Counts and pictures for the page."""
        return self.folder(ARTIFACTS)

    @property
    def report(self) -> Path:
        """The report that a search leaves."""
        return self.folder(REPORT)

    @property
    def best(self) -> Path:
        """The bundle of the winner."""
        return self.folder(BUNDLE)

    @property
    def tensorboard(self) -> Path:
        """Learning curves for TensorBoard."""
        return self.folder(TENSORBOARD)

    @property
    def ray(self) -> Path:
        """What Ray keeps."""
        return self.folder(RAY)

    def folder(self, *names: str) -> Path:
        """A folder of the study; RecordError where it is a link, which might lead out of it."""
        return inside(self.root, *names)

    @property
    def place(self) -> str:
        """Where the study is, for people: its URL, else its directory."""
        return self.shown(self.root)

    def shown(self, path: Path) -> str:
        """A path of the study for people, who find it at the study's URL where it has one."""
        if self.url is None:
            return str(path)
        return "/".join((self.url, *path.relative_to(self.root).parts))

    def trial(self, number: int) -> Path:
        """The folder of one trial."""
        return self.folder(TRIALS, trial_name(number))

    def drop_resume_state(self, number: int) -> None:
        """Delete what a trial that has ended would have gone on from."""
        (self.trial(number) / RESUME).unlink(missing_ok=True)

    def drop_best(self, number: int) -> None:
        """Delete the weights and predictions of a trial that is not among the best."""
        for name in (BEST, PREDICTIONS):
            (self.trial(number) / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed writers left between the files of the study."""
        trials = self.trials.iterdir() if self.trials.is_dir() else ()
        for folder in (self.root, self.report, self.artifacts, *trials):
            sweep(folder)

    def require(self) -> None:
        """Raise RecordError unless this is a study directory."""
        if not self.study_file.is_file():
            raise RecordError(f"{self.root}: not a study directory (no {ABOUT} in it)")

    def refuse_existing(self) -> None:
        """Raise ConfigError where a study is already here, with the two ways on."""
        if self.study_file.exists() or self.journal_file.exists():
            raise ConfigError(
                [
                    f"{self.root}: a study is already there; continue it with "
                    f"`tlsearch resume {self.root}`, or give the new one another place with "
                    "--study DIR"
                ]
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only driver of this study; RecordError where another one is at work.

        The lock is the operating system's: it falls when its process dies, however it dies.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder(DRIVER_LOCK), timeout=0):
                yield
        except Timeout:
            raise RecordError(
                f"{self.place}: another tlsearch is running this study; wait for it or stop it"
            ) from None

    @contextlib.contextmanager
    def trial_locked(self, number: int, wait_s: float = TRIAL_WAIT_S) -> Iterator[None]:
        """Be the only process that trains this trial; wait for another one to end.

        A worker outlives a killed driver by seconds and writes on until then. RecordError where it
        does not end.
        """
        home = self.trial(number)
        home.mkdir(parents=True, exist_ok=True)
        refuse_link(home / TRIAL_LOCK)
        lock = FileLock(home / TRIAL_LOCK, timeout=wait_s, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise RecordError(
                f"{home}: another process has been training this trial for {wait_s:g} s more; "
                "wait until it has ended, or end it, then `tlsearch resume DIR` goes on"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def write_about(self, config: dict[str, Any], **facts: Any) -> None:
        """Write study.yaml: the configuration as it ran, versions, machine, and the data."""
        about = {"config": config, **facts}
        about.setdefault("versions", versions())
        about.setdefault("machine", machine())
        write_text(self.study_file, yaml.safe_dump(about, sort_keys=False))

    def device(self) -> DeviceProfile:
        """How the study's trials compute, as study.yaml says: as on any CPU where it does not.
        RecordError where it is damaged.
        """
        if not self.study_file.is_file():
            return CPU_PROFILE
        told = self.read_about().get("device")
        try:
            return CPU_PROFILE if told is None else DeviceProfile.of(told)
        except ValueError as error:
            why = f"damaged (device.{error}); restore a copy of it"
            raise RecordError(f"{self.study_file}: {why}") from error

    def read_about(self) -> dict[str, Any]:
        """What study.yaml holds, read again only where it changed; RecordError where it is missing
        or damaged.
        """
        self.require()
        now = stamp(self.study_file)
        if self._about is None or self._about[0] != now:
            self._about = now, read_study_file(self.study_file)
        return self._about[1]


def versions() -> dict[str, str]:
    """What this study ran on: Python and the packages that decide results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
