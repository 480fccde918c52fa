"""The lease on a study in a bucket: an object that names the driver, which keeps rewriting it."""

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
_LIVING: set[str] = set()  # the names of the owners in this process that hold a lease

STALE_S = 120.0  # without a heartbeat, after which an owner counts as dead


@dataclass(frozen=True)
class Owner:
    """One driver: the place where it runs, and its unique name."""

    host: str
    processes: str  # the PID namespace of `pid`: containers have their own
    pid: int
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def dead(self) -> bool:
        """Whether the driver is known to have ended, which only its own machine can tell."""
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
    """The right to drive a study in a bucket, as far as a bucket can guarantee it.

    Buckets have no locks: two drivers that start at the same moment may both find the lease free.
    The driver that wrote first then finds the other's name at its next heartbeat, and ends.
    """

    def __init__(
        self, bucket: Bucket, owner: Owner | None = None, stale_s: float = STALE_S
    ) -> None:
        self.bucket, self.owner, self.stale_s = bucket, owner or _here(), stale_s

    def take(self) -> None:
        """Take the lease; raises RecordError if another owner is alive."""
        found = self.holder()
        if found is not None and found != self.owner and not found.dead:
            silent_s = self._silent_s()
            if silent_s < self.stale_s:
                raise RecordError(
                    f"{self.bucket.url}: another tlsearch drives this study (process {found.pid} "
                    f"on {found.host}, seen {silent_s:.0f} s ago); stop it, or wait: it counts as "
                    f"ended {self.stale_s:.0f} s after its last heartbeat"
                )
        self._write()
        self._require()
        _LIVING.add(self.owner.name)

    def beat(self) -> None:
        """Send a heartbeat; raises RecordError if another driver has taken over.

        Raises StorageError if the lease is gone, because it may not be the same storage.
        """
        self._require()
        self._write()

    def release(self) -> None:
        """Give up the lease, so that another driver can start at once."""
        _LIVING.discard(self.owner.name)
        with contextlib.suppress(StorageError):
            if self.holder() == self.owner:
                self.bucket.remove(LEASE)

    def alive(self) -> bool:
        """Whether a driver is running the study, judged by this machine's clock.

        The storage's clock can be read only by writing a file, which a reader may not be allowed.
        """
        found = self.holder()
        if found is None or found.dead:
            return False
        try:
            return time.time() - self.bucket.stamp(LEASE)[1] / 1e9 < self.stale_s
        except FileNotFoundError:
            return False

    def holder(self) -> Owner | None:
        """Return the owner that the bucket names; None if the lease is missing or malformed."""
        try:
            return Owner(**parse_json(self.bucket.read(LEASE)))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _require(self) -> None:
        found = self.holder()
        if found is None:
            raise StorageError(
                f"{self.bucket.url}: {LEASE} was deleted; check that the URL still points to the "
                "same storage"
            )
        if found != self.owner:
            raise RecordError(
                f"{self.bucket.url}: another tlsearch took this study over (process {found.pid} on "
                f"{found.host})"
            )

    def _write(self) -> None:
        self.bucket.write(LEASE, json.dumps(asdict(self.owner)).encode())

    def _silent_s(self) -> float:
        """Return the seconds since the last heartbeat, by the storage's own clock."""
        probe = f".clock-{self.owner.name}"
        now = self.bucket.write(probe, b"now")[1]
        self.bucket.remove(probe)
        try:
            return max(0.0, (now - self.bucket.stamp(LEASE)[1]) / 1e9)
        except FileNotFoundError:
            return self.stale_s


def _here() -> Owner:
    """Return this process as an owner with a new name."""
    spaces = Path("/proc/self/ns/pid")
    return Owner(
        host=socket.gethostname(),
        processes=os.readlink(spaces) if spaces.exists() else "",
        pid=os.getpid(),
    )
