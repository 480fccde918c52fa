"""The address of a Ray cluster: the addresses a driver may join, and the server for jobs."""

import os
import re
import socket
from urllib.parse import urlsplit

from tlsearch.base.errors import ClusterError, ConfigError
from tlsearch.base.shown_text import mask_urls
from tlsearch.config.location import has_user

JOB_SERVER = "http://127.0.0.1:8265"  # Ray's own default; `ray dashboard` forwards it from a head
ANSWER_S = 5.0


def join(address: str | None) -> None:
    """Set the cluster that `ray.init` will join: `auto` or HOST:PORT; `local` starts a new one.

    Does nothing for None. Raises ConfigError for an address that no driver may join, ClusterError
    if nothing listens there.
    """
    if address is None:
        return
    require_near(address)
    if re.fullmatch(r".+:\d+", address):
        require_listening(address, *address.rsplit(":", 1))
    elif address not in ("auto", "local"):
        raise ConfigError([f"--address: found {address!r}, expected auto, or HOST:PORT"])
    os.environ["RAY_ADDRESS"] = address  # `ray.init` and its workers read it


def require_near(address: str) -> None:
    """Refuse an address whose driver, and its journal, would not run inside the cluster."""
    require_no_user(address)
    if address.startswith("ray://"):
        raise ConfigError(
            [
                f"found {address!r}, a Ray client: the driver and its journal would run on this "
                "machine and end when it sleeps; use `tlsearch submit SPACE --address "
                "http://HEAD:8265`, or `tlsearch run --address auto` on the head"
            ]
        )
    if re.match(r"https?://", address):
        raise ConfigError(
            [f"found {address!r}, the server of jobs: use `tlsearch submit SPACE --address URL`"]
        )


def require_no_user(address: str) -> None:
    """Refuse a user name or password in an address: Ray would log it. Ray itself uses a token."""
    if has_user(address if "://" in address else f"ray://{address}"):
        raise ConfigError(
            [
                f"--address: found {mask_urls(f'ray://{address}').removeprefix('ray://')}, with "
                "credentials in it: give the cluster's token in RAY_AUTH_TOKEN"
            ]
        )


def job_server(address: str) -> str:
    """Return the URL of a cluster's job server.

    Raises ConfigError for an address that is not a job server's, ClusterError if nothing listens
    there.
    """
    if address.startswith("ray://"):
        require_near(address)
    url = address if "://" in address else f"http://{address}"
    require_no_user(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        host, port = None, 0
    if not host:
        raise ConfigError([f"--address: found {address!r}, expected a URL as in {JOB_SERVER}"])
    require_listening(url, host, port)
    return url.rstrip("/")


def require_listening(address: str, host: str, port: str | int) -> None:
    """Raise ClusterError if nothing listens at the address: Ray itself would wait for minutes."""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"{address}: cannot be reached ({error}); is the cluster up, and its port forwarded "
            "(`ray dashboard cluster.yaml`)?"
        ) from None
