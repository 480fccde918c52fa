"""The study that a driver works on: a local directory, mirrored if the study is in a bucket."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.base.errors import ConfigError, RecordError, StorageError, TlsearchError
from tlsearch.config.location import Location, is_url
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import ABOUT, JOURNAL
from tlsearch.results.remote.copies import work_copy
from tlsearch.results.remote.differences import which_is_ahead

if TYPE_CHECKING:
    from tlsearch.results.remote.lease import Lease
    from tlsearch.results.remote.sync import Mirror

log = logging.getLogger(__name__)

BEAT_S = 30.0  # between heartbeats; a lease is stale after several missed ones
END_S = 60.0  # for which the end of a search waits for an unreachable storage
PAUSE_S = 2.0


class LocalStudy:
    """A local study, which only this process works on; it has no mirror, so `unsent` stays None."""

    def __init__(self, home: StudyDirectory) -> None:
        self.home = home
        self.unsent: TlsearchError | None = None

    @contextlib.contextmanager
    def mirrored(self, every_s: float) -> Iterator[None]:
        """Do nothing: the directory itself is the study."""
        yield

    def when_lost(self, tell: Callable[[TlsearchError], object]) -> None:
        """Do nothing: no other driver can take over a locked directory."""


class MirroredStudy:
    """The local copy of a study in a bucket, mirrored to it while a block runs.

    `unsent` is the error if the bucket does not have everything at the end; None otherwise.
    """

    def __init__(
        self, home: StudyDirectory, mirror: "Mirror", lease: "Lease", end_s: float = END_S
    ) -> None:
        self.home = home
        self.unsent: TlsearchError | None = None
        self.mirror, self.lease, self.end_s = mirror, lease, end_s
        self._lost: RecordError | None = None
        self._away = False
        self._over = threading.Event()
        self._tell: Callable[[TlsearchError], object] = lambda error: None

    def when_lost(self, tell: Callable[[TlsearchError], object]) -> None:
        """Call `tell` with the error if another driver takes over the study."""
        self._tell = tell

    @contextlib.contextmanager
    def mirrored(self, every_s: float) -> Iterator[None]:
        """Send changes every `every_s` seconds while the block runs, and once more at its end.

        The last push is retried for `end_s` seconds, unless the block ends with an exception that
        is no `Exception`, such as KeyboardInterrupt.
        """
        thread = threading.Thread(target=self._run, args=(every_s,), daemon=True)
        thread.start()
        end_s = 0.0
        try:
            yield
            end_s = self.end_s
        except Exception:
            end_s = self.end_s
            raise
        finally:
            self._over.set()
            thread.join()
            self._last_push(end_s)

    def _run(self, every_s: float) -> None:
        sent = time.monotonic() - every_s
        while self._lost is None and not self._over.wait(self._pause_s(every_s)):
            due = self._away or time.monotonic() - sent >= every_s
            began = time.monotonic()
            if self._round(push=due) is None and due:
                sent = began

    def _pause_s(self, every_s: float) -> float:
        return min(every_s, PAUSE_S if self._away else BEAT_S)

    def _round(self, push: bool = True) -> Exception | None:
        """Renew the lease and, with `push`, send the changes; return the error if that failed."""
        try:
            self.lease.beat()
            if push:
                self.mirror.push()
        except RecordError as error:
            self._lost = error
            self._tell(error)
            return error
        except (StorageError, OSError) as error:
            if not self._away:
                log.warning(
                    "the storage cannot be used; the search continues, and its results are "
                    "uploaded once the storage works again: %s",
                    error,
                )
            self._away = True
            return error
        if self._away:
            log.warning("%s: the storage works again; everything was uploaded", self.home.location)
        self._away = False
        return None

    def _last_push(self, within_s: float) -> None:
        """Send the remaining changes, with retries for `within_s` seconds.

        If that fails, log a warning that says what to do.
        """
        deadline = time.monotonic() + within_s
        error = self._lost or self._round()
        while error is not None and self._lost is None and time.monotonic() < deadline:
            time.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))
            error = self._round()
        if error is None:
            return
        self.unsent = _taken_over(self, error) if self._lost else _unsent_error(self, error)
        log.warning("%s", self.unsent)


DriversStudy = LocalStudy | MirroredStudy


def _taken_over(work: MirroredStudy, error: Exception) -> TlsearchError:
    return RecordError(
        f"{error}; the trials that ended here since then are only in "
        f"{work.home.root} (`tlsearch report {work.home.root}` shows them)"
    )


def _unsent_error(work: MirroredStudy, error: Exception) -> TlsearchError:
    return StorageError(
        f"{error}\nnot everything was sent; the whole study is in {work.home.root}; send it with "
        f"`tlsearch upload {work.home.root} {work.home.url}`"
    )


@contextlib.contextmanager
def hold_study(location: Location, new: bool, end_s: float = END_S) -> Iterator[DriversStudy]:
    """Hold a `new` or an existing study for the block, as its only driver.

    Raises ConfigError if a new study would overwrite another one, RecordError if there is no study
    or another driver is running it, and StorageError if a bucket cannot be reached.
    """
    if is_url(location):
        with _in_a_bucket(str(location), new, end_s) as work:
            yield work
        return
    home = StudyDirectory(Path(location))
    if not new:
        home.read_about()
    else:
        home.refuse_existing()
    with home.locked():
        if new:
            home.refuse_existing()
        yield LocalStudy(home)


@contextlib.contextmanager
def _in_a_bucket(url: str, new: bool, end_s: float) -> Iterator[MirroredStudy]:
    from tlsearch.results.remote.bucket import Bucket
    from tlsearch.results.remote.lease import Lease
    from tlsearch.results.remote.sync import Mirror

    bucket = Bucket(url)
    home = StudyDirectory(work_copy(bucket.url), bucket.url)
    if new:
        _refuse_existing(home, bucket.stamps())
    with home.locked(), _hold(Lease(bucket)) as lease:
        mirror, there = Mirror(home.root, bucket), bucket.stamps()
        if new:
            _refuse_existing(home, there)
        else:
            update_local_copy(home, mirror, there)
        yield MirroredStudy(home, mirror, lease, end_s)


@contextlib.contextmanager
def _hold(lease: "Lease") -> Iterator["Lease"]:
    lease.take()
    try:
        yield lease
    finally:
        lease.release()


def _refuse_existing(home: StudyDirectory, there: dict[str, tuple[int, int]]) -> None:
    if ABOUT in there or JOURNAL in there:
        raise ConfigError(
            [
                f"{home.url}: a study is already there; continue it with `tlsearch resume "
                f"{home.url}`, or give the new one another place with --study URL"
            ]
        )
    if home.study_file.exists():
        raise ConfigError(
            [
                f"{home.root}: the local copy of a study that is no longer at {home.url}; send it "
                f"there with `tlsearch upload {home.root} {home.url}`, or remove it"
            ]
        )


def update_local_copy(
    home: StudyDirectory, mirror: "Mirror", there: dict[str, tuple[int, int]]
) -> None:
    """Update the local copy: fetch the study unless the copy is level with or ahead of it."""
    if ABOUT not in there and not home.study_file.exists():
        mirror.bucket.require()
        raise RecordError(f"{home.url}: no study there (no {ABOUT} in it)")
    further = _further(home, mirror, there)
    if further == "there" or not home.study_file.exists():
        mirror.fetch(there=there)
    else:
        mirror.adopt(there)
    if further == "neither":  # a file missing here must not be deleted from the bucket
        missing = {*there} - {*mirror.local()}
        mirror.fetch(missing.__contains__, there)
    home.read_about()


def _further(home: StudyDirectory, mirror: "Mirror", there: dict[str, tuple[int, int]]) -> str:
    """Return which journal continues the other; raises RecordError if their contents diverge."""
    remote = mirror.bucket.read(JOURNAL) if JOURNAL in there else b""
    further = which_is_ahead(mirror.journal(), remote)
    if further == "apart":
        raise RecordError(
            f"{home.url}: its journal and that of the local copy {home.root} differ: "
            "two machines continued this study; remove the copy to continue from the bucket, or "
            "upload it to another URL to keep both"
        )
    return further


def upload(folder: Path, url: str) -> None:
    """Send a local study to a URL that holds no study yet, or an earlier state of this one.

    Raises RecordError if the URL holds a different study or a later state, or if a driver is
    running the study.
    """
    from tlsearch.results.remote.bucket import Bucket
    from tlsearch.results.remote.lease import Lease
    from tlsearch.results.remote.sync import Mirror

    home = StudyDirectory(folder, url)
    home.read_about()
    bucket = Bucket(url)
    with home.locked(), _hold(Lease(bucket)):
        mirror, there = Mirror(home.root, bucket), bucket.stamps()
        if _further(home, mirror, there) == "there":
            raise RecordError(
                f"{url}: the study there is newer than {home.root}; continue it with "
                "`tlsearch resume URL`, or upload to another URL"
            )
        mirror.adopt(there)
        mirror.push()
