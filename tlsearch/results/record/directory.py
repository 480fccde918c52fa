"""The study directory: the paths of its files, and the locks of its writers."""

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
from tlsearch.base.files import Stamp, absolute_path, stamp, write_text
from tlsearch.base.leftovers import sweep
from tlsearch.base.links import path_inside, refuse_link
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
TRIAL_WAIT_S = 60.0  # the worker of a killed driver ends within seconds


class StudyDirectory:
    """The paths and locks of one study; README.md beside this file lists the files.

    The path to the directory may contain links. Links inside it are never followed: the folder
    properties and methods raise RecordError for a link, `base.links.read_plain` refuses to read a
    link, and `atomic_file` replaces a link instead of writing to its target.
    """

    def __init__(self, root: Path, url: str | None = None) -> None:
        self.root = absolute_path(root)
        self.url = url  # of the study in a bucket, if this is a local copy
        self.study_file = self.root / ABOUT
        self.journal_file = self.root / JOURNAL
        self._about: tuple[Stamp, dict[str, Any]] | None = None

    @functools.cached_property
    def journal(self) -> "Journal":
        """The journal, which this object parses only once; the first access imports Optuna."""
        from tlsearch.results.record.journal import Journal

        return Journal(self.journal_file)

    @property
    def trials(self) -> Path:
        """The folder that contains one folder per trial."""
        return self.folder(TRIALS)

    @property
    def artifacts(self) -> Path:
        """The folder of data for the HTML page: counts, images, the winner's predictions."""
        return self.folder(ARTIFACTS)

    @property
    def report(self) -> Path:
        """The folder of the report that a search writes."""
        return self.folder(REPORT)

    @property
    def best(self) -> Path:
        """The folder of the bundle: the exported winner."""
        return self.folder(BUNDLE)

    @property
    def tensorboard(self) -> Path:
        """The folder of learning curves for TensorBoard."""
        return self.folder(TENSORBOARD)

    @property
    def ray(self) -> Path:
        """The folder of Ray's own files."""
        return self.folder(RAY)

    def folder(self, *names: str) -> Path:
        """Return a folder of the study; raises RecordError for a link, which might lead outside."""
        return path_inside(self.root, *names)

    @property
    def location(self) -> str:
        """The location of the study for messages: its URL if it has one, else its directory."""
        return self.shown(self.root)

    def shown(self, path: Path) -> str:
        """Return a path of the study for messages: below the study's URL if it has one."""
        if self.url is None:
            return str(path)
        return "/".join((self.url, *path.relative_to(self.root).parts))

    def trial(self, number: int) -> Path:
        """Return the folder of one trial."""
        return self.folder(TRIALS, trial_name(number))

    def drop_resume_state(self, number: int) -> None:
        """Delete the resume state of a trial that has ended and no longer needs it."""
        (self.trial(number) / RESUME).unlink(missing_ok=True)

    def drop_best(self, number: int) -> None:
        """Delete the weights and predictions of a trial that is not among the best."""
        for name in (BEST, PREDICTIONS):
            (self.trial(number) / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the temporary files that killed writers left in the study."""
        trials = self.trials.iterdir() if self.trials.is_dir() else ()
        for folder in (self.root, self.report, self.artifacts, *trials):
            sweep(folder)

    def require(self) -> None:
        """Raise RecordError unless this is a study directory."""
        if not self.study_file.is_file():
            raise RecordError(f"{self.root}: not a study directory (no {ABOUT} in it)")

    def refuse_existing(self) -> None:
        """Raise ConfigError if a study is already here; the message names both remedies."""
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
        """Hold the driver's lock on this study; raises RecordError if another driver holds it.

        The operating system releases the lock when the process dies, whatever the cause.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder(DRIVER_LOCK), timeout=0):
                yield
        except Timeout:
            raise RecordError(
                f"{self.location}: another tlsearch is running this study; wait for it or stop it"
            ) from None

    @contextlib.contextmanager
    def trial_locked(self, number: int, wait_s: float = TRIAL_WAIT_S) -> Iterator[None]:
        """Hold the lock on a trial that only one process may train.

        A worker outlives its killed driver by seconds and keeps writing until it ends, so this
        waits up to `wait_s` for the lock. Raises RecordError if the other process has not ended by
        then.
        """
        home = self.trial(number)
        home.mkdir(parents=True, exist_ok=True)
        refuse_link(home / TRIAL_LOCK)
        lock = FileLock(home / TRIAL_LOCK, timeout=wait_s, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise RecordError(
                f"{home}: another process is still training this trial after {wait_s:g} s; "
                "wait for it or end it, then continue with `tlsearch resume DIR`"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def write_about(self, config: dict[str, Any], **facts: Any) -> None:
        """Write study.yaml: the configuration as it ran, `facts`, and the versions and machine.

        `facts` hold, for example, the description of the data; they may replace versions and
        machine.
        """
        about = {"config": config, **facts}
        about.setdefault("versions", package_versions())
        about.setdefault("machine", machine())
        write_text(self.study_file, yaml.safe_dump(about, sort_keys=False))

    def device(self) -> DeviceProfile:
        """Return the device profile of the study's trials, as study.yaml records it.

        It is `CPU_PROFILE` if there is no study.yaml or it records no device. Raises RecordError if
        study.yaml is damaged.
        """
        if not self.study_file.is_file():
            return CPU_PROFILE
        device = self.read_about().get("device")
        try:
            return CPU_PROFILE if device is None else DeviceProfile.of(device)
        except ValueError as error:
            why = f"damaged (device.{error}); restore it from a backup"
            raise RecordError(f"{self.study_file}: {why}") from error

    def read_about(self) -> dict[str, Any]:
        """Return the content of study.yaml, reading it again only if the file has changed.

        Raises RecordError if the file is missing or damaged.
        """
        self.require()
        now = stamp(self.study_file)
        if self._about is None or self._about[0] != now:
            self._about = now, read_study_file(self.study_file)
        return self._about[1]


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect the results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
