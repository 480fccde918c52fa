"""The address of a Ray cluster: which ones a driver may join, and where jobs are handed in."""

import os
import re
import socket
from urllib.parse import urlsplit

from tlsearch.base.errors import ClusterError, ConfigError
from tlsearch.base.shown_text import masked
from tlsearch.config.location import has_user

JOB_SERVER = "http://127.0.0.1:8265"  # Ray's own default; `ray dashboard` forwards it from a head
ANSWER_S = 5.0


def join(address: str | None) -> None:
    """Have the search of this process join the cluster at an address, `auto` or HOST:PORT.

    Raises ConfigError for an address that no driver may join, ClusterError where nothing listens.
    """
    if address is None:
        return
    require_near(address)
    if re.fullmatch(r".+:\d+", address):
        require_listening(address, *address.rsplit(":", 1))
    elif address not in ("auto", "local"):
        raise ConfigError([f"--address: found {address!r}, expected auto, or HOST:PORT"])
    os.environ["RAY_ADDRESS"] = address  # what `ray.init` and its workers read


def require_near(address: str) -> None:
    """Refuse an address over which the driver, and with it the journal, would stay behind."""
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
    """Refuse a password in an address, which Ray would log; Ray's own key is a token."""
    if has_user(address if "://" in address else f"ray://{address}"):
        raise ConfigError(
            [
                f"--address: found {masked(f'ray://{address}').removeprefix('ray://')}, with "
                "credentials in it: give the cluster's token in RAY_AUTH_TOKEN"
            ]
        )


def job_server(address: str) -> str:
    """The URL of a cluster's job server, which listens; ConfigError or ClusterError otherwise."""
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
    """Raise ClusterError where nobody listens: Ray itself would wait for minutes."""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"{address}: cannot be reached ({error}); is the cluster up, and its port forwarded "
            "(`ray dashboard cluster.yaml`)?"
        ) from None
