"""Who drives a study in a bucket: an object with the owner's name, written again and again."""

import contextlib
import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tlsearch.base.errors import RecordError, StorageError
from tlsearch.base.files import parse_json
from tlsearch.results.remote.bucket import Bucket

LEASE = ".lease.json"
_LIVING: set[str] = set()  # the names of this process's owners that are at work

STALE_S = 120.0  # without a beat an owner counts as dead


@dataclass(frozen=True)
class Owner:
    """One driver: where it runs, and a name that no other has."""

    host: str
    processes: str  # which processes its `pid` is one of: containers have their own
    pid: int
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended, as only its own machine can know."""
        if (self.host, self.processes) != (_here().host, _here().processes):
            return False
        if self.pid == os.getpid():
            return self.name not in _LIVING
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class Lease:
    """The right to drive the study in a bucket, as far as a bucket can grant one.

    Buckets know no lock: of two drivers that begin in the same moment both may find it free. The
    one that wrote first then finds the other's name at its next beat, and ends.
    """

    def __init__(
        self, bucket: Bucket, owner: Owner | None = None, stale_s: float = STALE_S
    ) -> None:
        self.bucket, self.owner, self.stale_s = bucket, owner or _here(), stale_s

    def take(self) -> None:
        """Become the owner; RecordError where another one is alive."""
        found = self.holder()
        if found is not None and found != self.owner and not found.dead:
            silent_s = self._silent_s()
            if silent_s < self.stale_s:
                raise RecordError(
                    f"{self.bucket.url}: another tlsearch drives this study (process {found.pid} "
                    f"on {found.host}, seen {silent_s:.0f} s ago); stop it, or wait: once it was "
                    f"not seen for {self.stale_s:.0f} s it counts as dead"
                )
        self._write()
        self._require()
        _LIVING.add(self.owner.name)

    def beat(self) -> None:
        """Show that the owner lives; RecordError where another one took over meanwhile.

        StorageError where there is no lease any more, and so perhaps not the same storage.
        """
        self._require()
        self._write()

    def release(self) -> None:
        """Let another driver begin at once."""
        _LIVING.discard(self.owner.name)
        with contextlib.suppress(StorageError):
            if self.holder() == self.owner:
                self.bucket.remove(LEASE)

    def alive(self) -> bool:
        """Whether somebody drives the study, by this machine's clock: who reads may not write."""
        found = self.holder()
        if found is None or found.dead:
            return False
        try:
            return time.time() - self.bucket.stamp(LEASE)[1] / 1e9 < self.stale_s
        except FileNotFoundError:
            return False

    def holder(self) -> Owner | None:
        """The owner that the bucket names; None where none is, or nobody can read it."""
        try:
            return Owner(**parse_json(self.bucket.read(LEASE)))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _require(self) -> None:
        found = self.holder()
        if found is None:
            raise StorageError(f"{self.bucket.url}: {LEASE} is gone; is it the same storage?")
        if found != self.owner:
            raise RecordError(
                f"{self.bucket.url}: another tlsearch took this study over (process {found.pid} on "
                f"{found.host})"
            )

    def _write(self) -> None:
        self.bucket.write(LEASE, json.dumps(asdict(self.owner)).encode())

    def _silent_s(self) -> float:
        """Seconds since the last beat, by the storage's own clock."""
        probe = f".clock-{self.owner.name}"
        now = self.bucket.write(probe, b"now")[1]
        self.bucket.remove(probe)
        try:
            return max(0.0, (now - self.bucket.stamp(LEASE)[1]) / 1e9)
        except FileNotFoundError:
            return self.stale_s


def _here() -> Owner:
    """This process, under a new name."""
    spaces = Path("/proc/self/ns/pid")
    return Owner(
        host=socket.gethostname(),
        processes=os.readlink(spaces) if spaces.exists() else "",
        pid=os.getpid(),
    )
