"""Cluster addresses: which ones a driver may join, and that an unreachable one fails at once."""

import os
import socket
import time

import pytest

from tlsearch.base.errors import ClusterError, ConfigError
from tlsearch.cli.cluster_commands import SERVER
from tlsearch.search.cluster.address import JOB_SERVER, job_server, join, require_near


@pytest.fixture
def listening():
    """Yield the port of a listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent():
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "before")


def test_the_command_line_knows_the_default():
    assert SERVER == JOB_SERVER


@pytest.mark.parametrize("call", [join, require_near, job_server])
def test_a_ray_client_is_refused_with_the_reason_and_the_way(call):
    with pytest.raises(ConfigError, match=r"journal would run on this machine.*tlsearch submit"):
        call("ray://head:10001")


def test_a_driver_is_told_that_jobs_have_another_door():
    with pytest.raises(ConfigError, match="tlsearch submit"):
        join("http://127.0.0.1:8265")


def test_what_may_be_joined_reaches_ray(listening):
    join(None)
    assert os.environ["RAY_ADDRESS"] == "before"
    join("auto")
    assert os.environ["RAY_ADDRESS"] == "auto"
    join(f"127.0.0.1:{listening}")
    assert os.environ["RAY_ADDRESS"] == f"127.0.0.1:{listening}"


@pytest.mark.parametrize("address", ["head", "", "host:port"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="expected auto, or HOST:PORT"):
        join(address)


def test_silence_is_told_within_seconds(silent):
    began = time.monotonic()
    for call in (join, job_server):
        with pytest.raises(ClusterError, match="cannot be reached") as caught:
            call(f"127.0.0.1:{silent}")
        assert caught.value.exit_code == 3
    assert time.monotonic() - began < 5


def test_a_job_server_is_a_url(listening):
    expected = f"http://127.0.0.1:{listening}"
    assert job_server(f"127.0.0.1:{listening}") == job_server(f"{expected}/") == expected
    for odd in ("ftp://x", "http://", "http://:80", "http://[x", "http://h:99999"):
        with pytest.raises(ConfigError, match="expected a URL"):
            job_server(odd)
