"""Searches as Ray jobs on a cluster: submit, list, follow and stop them."""

import contextlib
import importlib
import logging
import math
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tlsearch.base.errors import ClusterError, ConfigError
from tlsearch.config.extras import missing_packages_message
from tlsearch.search.cluster.address import job_server
from tlsearch.search.cluster.job_package import Shipment, pack

# A driver that is asked to stop ends its trials, ranks them and writes the report. Ray's default of
# 3 s would kill it before that.
STOP_WAIT_S = 300
POLL_S = 1.0
LOST_S = 120.0  # `follow` gives up if a cluster is unreachable for this long
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Job:
    """A search on a cluster; `state` is Ray's job status: PENDING, RUNNING or one of `ENDED`."""

    id: str
    state: str
    study: str
    began: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str

    @property
    def over(self) -> bool:
        """Whether the job has ended: succeeded, failed or stopped."""
        return self.state in ENDED


class Cluster:
    """The job server of one cluster; every method raises ClusterError if it does not answer."""

    def __init__(self, address: str) -> None:
        """Connect to the server.

        Raises ClusterError for a wrong token, ConfigError if `ray[default]` is not installed.
        """
        self.url = job_server(address)
        kind = _client_class()
        with self._answering(), _only(self.url):
            self._client = kind(self.url)

    def submit(self, shipment: Shipment) -> str:
        """Start a driver as a job and return the job's id.

        The job contains the package, the search space and the environment variables for buckets.
        Everyone who may read the cluster's jobs can read these variables.
        """
        env = shipment.env
        with tempfile.TemporaryDirectory() as folder, self._answering():
            pack(Path(folder), shipment.config)
            submitted: str = self._client.submit_job(
                entrypoint=shipment.line,
                submission_id=f"{shipment.name}-{secrets.token_hex(3)}",
                runtime_env={
                    "working_dir": folder,
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), **env},
                },
                metadata={"study": shipment.location},
            )
        return submitted

    def jobs(self) -> list[Job]:
        """Return all submitted jobs, the latest first."""
        with self._answering():
            found = [_job(one) for one in self._client.list_jobs() if one.submission_id]
        return sorted(found, key=lambda job: job.began or datetime.max.replace(tzinfo=UTC))[::-1]

    def job(self, name: str) -> Job:
        """Return one job; raises ClusterError if the cluster does not know it."""
        with self._answering():
            return _job(self._client.get_job_info(name))

    def log(self, name: str) -> str:
        """Return everything that a job has printed so far."""
        with self._answering():
            text: str = self._client.get_job_logs(name)
        return text

    def stop(self, name: str) -> bool:
        """Ask a job to shut down cleanly (SIGTERM); return whether it was running."""
        with self._answering():
            return bool(self._client.stop_job(name))

    def follow(self, name: str, lost_s: float = LOST_S) -> Iterator[str]:
        """Yield the output of a job as it appears, until the job has ended.

        The whole log is polled, so following continues where it was after a laptop has slept.
        Raises ClusterError if the cluster is unreachable for longer than `lost_s` seconds.
        """
        printed, answered = 0, -math.inf  # do not wait for a cluster that has never answered
        while True:
            try:
                over, text = self.job(name).over, self.log(name)
                answered = time.monotonic()
            except ClusterError:
                if time.monotonic() - answered > lost_s:
                    raise
                over, text = False, ""
            if len(text) > printed:
                yield text[printed:]
                printed = len(text)
            if over:
                return
            time.sleep(POLL_S + printed / 1e6)  # a long log is polled less often

    def wait_for_end(self, name: str, wait_s: float) -> Job:
        """Wait at most `wait_s` seconds for a job to end, and return it as it is then."""
        until = time.monotonic() + wait_s
        while not (job := self.job(name)).over and time.monotonic() < until:
            time.sleep(POLL_S)
        return job

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Raise Ray's errors as ClusterError, with advice for a refused token."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise ClusterError(
                f"{self.url}: the cluster refuses the token ({_token_from()}); expected the one it "
                "was started with: copy ~/.ray/auth_token of its head, or set RAY_AUTH_TOKEN"
            ) from error
        except (RuntimeError, OSError, ValueError) as error:
            raise ClusterError(f"{self.url}: {_short(error)}") from error


def _client_class() -> Any:
    """Import Ray's client of job servers; raises ConfigError if `ray[default]` is not installed."""
    try:
        for name in ("aiohttp", "requests"):  # Ray's module imports without them and fails later
            importlib.import_module(name)
        client = importlib.import_module("ray.job_submission").JobSubmissionClient
    except ImportError as error:
        missing = [error.name or "aiohttp"]
        raise ConfigError(
            [missing_packages_message("a job on a cluster", "cluster", missing)]
        ) from error
    for name in ("dashboard.modules.dashboard_sdk", "_private.runtime_env.packaging"):
        logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)  # they log every upload
    return client


@contextlib.contextmanager
def _only(url: str) -> Iterator[None]:
    """Set RAY_API_SERVER_ADDRESS for the block: Ray's client prefers it to its own argument."""
    name = "RAY_API_SERVER_ADDRESS"
    before = os.environ.get(name)
    os.environ[name] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _job(details: Any) -> Job:
    return Job(
        id=details.submission_id or "",
        state=str(getattr(details.status, "value", details.status)),
        study=(details.metadata or {}).get("study", "-"),
        began=_moment(details.start_time),
        ended=_moment(details.end_time),
        exit_code=details.driver_exit_code,
        message=details.message or "",
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _token_from() -> str:
    """Describe where Ray finds its token; the places are checked in Ray's order."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        if os.environ.get(name):
            return f"of {name}"
    file = Path.home() / ".ray" / "auth_token"
    return f"of {file}" if file.is_file() else f"none: no RAY_AUTH_TOKEN, no {file}"


def _short(error: Exception) -> str:
    """Return the first line of Ray's message: tracebacks of its server may follow."""
    return next((line for line in str(error).splitlines() if line.strip()), repr(error))
