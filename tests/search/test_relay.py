"""Workers' phases reach the driver in order, and a failing store costs no work."""

import threading
import time

import pytest

from tlsearch.base.phases import Phase, heard_by, phase
from tlsearch.search import relay


class Store:
    """An in-memory version of Ray's key-value store."""

    def __init__(self):
        self.kept = {}

    def _internal_kv_put(self, key, value):
        self.kept[key] = value

    def _internal_kv_list(self, prefix):
        return [key for key in reversed(self.kept) if key.startswith(prefix)]

    def _internal_kv_get(self, key):
        return self.kept[key]

    def _internal_kv_del(self, key):
        del self.kept[key]


@pytest.fixture
def store(monkeypatch):
    made = Store()
    monkeypatch.setattr(relay, "_store", lambda: made)
    monkeypatch.setattr(relay, "_box", lambda: b"box ")
    monkeypatch.setattr(relay, "_at_hand", lambda: True)
    return made


def work(count):
    with phase("verifying", count, "pictures") as counter:
        counter.advance(count)
    return count


def test_what_a_worker_does_is_heard_by_the_driver_once_and_in_order(store):
    assert relay.relay_phases(work, "onnx")(3) == 3
    heard = []
    relay.collect_now(heard.append)
    relay.collect_now(heard.append)
    assert [(one.state, one.done, one.total, one.subject) for one in heard] == [
        ("began", 0, 3, "onnx"),
        ("going", 3, 3, "onnx"),
        ("ended", 3, 3, "onnx"),
    ]
    assert store.kept == {}


def test_the_last_news_are_collected_at_the_end(store):
    heard = []
    with relay.collect_phases(heard.append):
        relay.send(Phase("tracing", "began"))
        until = time.monotonic() + 30
        while not heard and time.monotonic() < until:
            time.sleep(0.05)
        relay.send(Phase("tracing", "ended"))
    assert [one.state for one in heard] == ["began", "ended"]


def test_work_goes_on_where_the_store_does_not_answer(monkeypatch):
    def gone():
        raise ConnectionError("the head is gone")

    monkeypatch.setattr(relay, "_store", gone)
    heard = []
    assert relay.relay_phases(work)(2) == 2
    relay.collect_now(heard.append)
    assert heard == []


def test_the_drivers_own_phases_do_not_pass_through_the_store(store):
    heard = []
    with heard_by(heard.append):
        work(1)
    assert len(heard) == 3
    assert store.kept == {}


def test_two_threads_that_collect_hear_each_news_once(store):
    for number in range(200):
        relay.send(Phase("verifying", "going", number))
    heard = []
    threads = [threading.Thread(target=relay.collect_now, args=(heard.append,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.done for one in heard] == list(range(200))


@pytest.mark.cluster
def test_where_no_ray_runs_none_is_started():
    import ray

    assert not ray.is_initialized()
    relay.relay_phases(work)(3)
    relay.collect_now(lambda phase: None)
    assert not ray.is_initialized()
