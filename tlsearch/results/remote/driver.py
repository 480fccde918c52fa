"""The study that a driver works in: a local directory, mirrored where the study is in a bucket."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.base.errors import ConfigError, RecordError, StorageError, TlsearchError
from tlsearch.config.location import Place, is_url
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import ABOUT, JOURNAL
from tlsearch.results.remote.copies import work_copy
from tlsearch.results.remote.differences import ahead

if TYPE_CHECKING:
    from tlsearch.results.remote.lease import Lease
    from tlsearch.results.remote.sync import Mirror

log = logging.getLogger(__name__)

BEAT_S = 30.0  # between signs of life; a lease is stale after several
END_S = 60.0  # how long the end of a search waits for a storage that is away
PAUSE_S = 2.0


class LocalStudy:
    """A study directory that this process alone works in; `unsent` is why its mirror is behind."""

    def __init__(self, home: StudyDirectory) -> None:
        self.home = home
        self.unsent: TlsearchError | None = None

    @contextlib.contextmanager
    def mirrored(self, every_s: float) -> Iterator[None]:
        """Nothing to do for the block: the directory is the study."""
        yield

    def when_lost(self, tell: Callable[[TlsearchError], object]) -> None:
        """Whom to tell that another driver took the study over."""


class MirroredStudy:
    """The local copy of a study in a bucket, brought in step with it for a block."""

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
        """Whom to tell that another driver took the study over."""
        self._tell = tell

    @contextlib.contextmanager
    def mirrored(self, every_s: float) -> Iterator[None]:
        """Send what changed every so many seconds while the block runs, and at its end."""
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
        """One sign of life and, where it is time, what changed; why that failed, if it did."""
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
                log.warning("the search goes on, and is sent once it can be: %s", error)
            self._away = True
            return error
        if self._away:
            log.warning("%s: the storage is back, all was sent", self.home.place)
        self._away = False
        return None

    def _last_push(self, within_s: float) -> None:
        """Send the rest; for a while where the storage is away, and then say what to do."""
        deadline = time.monotonic() + within_s
        error = self._lost or self._round()
        while error is not None and self._lost is None and time.monotonic() < deadline:
            time.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))
            error = self._round()
        if error is None:
            return
        self.unsent = _taken_over(self, error) if self._lost else _unsent(self, error)
        log.warning("%s", self.unsent)


DriversStudy = LocalStudy | MirroredStudy


def _taken_over(work: MirroredStudy, error: Exception) -> TlsearchError:
    return RecordError(
        f"{error}; what this one did since then is in {work.home.root} alone "
        f"(`tlsearch report {work.home.root}` shows it)"
    )


def _unsent(work: MirroredStudy, error: Exception) -> TlsearchError:
    return StorageError(
        f"{error}\nnot all was sent; the whole study is in {work.home.root}; send it with "
        f"`tlsearch upload {work.home.root} {work.home.url}`"
    )


@contextlib.contextmanager
def working(place: Place, new: bool, end_s: float = END_S) -> Iterator[DriversStudy]:
    """Work alone in a `new` study, or in one that is there, for the block.

    Raises ConfigError where a new one would lie upon another; RecordError where there is none, or
    another driver is at work; StorageError where a bucket cannot be reached.
    """
    if is_url(place):
        with _in_a_bucket(str(place), new, end_s) as work:
            yield work
        return
    home = StudyDirectory(Path(place))
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
    with home.locked(), _leased(Lease(bucket)) as lease:
        mirror, there = Mirror(home.root, bucket), bucket.stamps()
        if new:
            _refuse_existing(home, there)
        else:
            bring_here(home, mirror, there)
        yield MirroredStudy(home, mirror, lease, end_s)


@contextlib.contextmanager
def _leased(lease: "Lease") -> Iterator["Lease"]:
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


def bring_here(home: StudyDirectory, mirror: "Mirror", there: dict[str, tuple[int, int]]) -> None:
    """Make the local copy the newest one: fetch the study, unless what is here goes on from it."""
    if ABOUT not in there and not home.study_file.exists():
        mirror.bucket.require()
        raise RecordError(f"{home.url}: no study there (no {ABOUT} in it)")
    further = _further(home, mirror, there)
    if further == "there" or not home.study_file.exists():
        mirror.fetch(there=there)
    else:
        mirror.adopt(there)
    if further == "neither":  # what somebody removed from the copy is no reason to drop it there
        missing = {*there} - {*mirror.local()}
        mirror.fetch(missing.__contains__, there)
    home.read_about()


def _further(home: StudyDirectory, mirror: "Mirror", there: dict[str, tuple[int, int]]) -> str:
    """Which journal goes on where the other ends; RecordError where they tell other things."""
    remote = mirror.bucket.read(JOURNAL) if JOURNAL in there else b""
    further = ahead(mirror.journal(), remote)
    if further == "apart":
        raise RecordError(
            f"{home.url}: its journal and that of the local copy {home.root} tell different "
            "things: two machines went on with this study; remove the copy to go on with what is "
            "in the bucket, or upload it to another URL to keep both"
        )
    return further


def upload(folder: Path, url: str) -> None:
    """Send a local study to a URL, where there is none yet, or one that it goes on from.

    Raises RecordError where the study there is another or further, or is being driven.
    """
    from tlsearch.results.remote.bucket import Bucket
    from tlsearch.results.remote.lease import Lease
    from tlsearch.results.remote.sync import Mirror

    home = StudyDirectory(folder, url)
    home.read_about()
    bucket = Bucket(url)
    with home.locked(), _leased(Lease(bucket)):
        mirror, there = Mirror(home.root, bucket), bucket.stamps()
        if _further(home, mirror, there) == "there":
            raise RecordError(f"{url}: the study there is further than {home.root}")
        mirror.adopt(there)
        mirror.push()
