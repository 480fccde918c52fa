"""The relay of phase events from workers to the driver, through the key-value store of Ray's head.

Every node can reach the store, and it needs no process of its own and no shared folder.
"""

import functools
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ParamSpec, TypeVar

from tlsearch.base.phases import Hear, Phase, heard_by

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

COLLECT_EVERY_S = 0.5
_BOX = "tlsearch phases"
_COLLECTING = threading.Lock()


def relay_phases(function: Callable[P, T], subject: str = "") -> Callable[P, T]:
    """Wrap a function for a worker so that its phases are sent to the driver."""

    @functools.wraps(function)
    def relaying(*arguments: P.args, **named: P.kwargs) -> T:
        with heard_by(send, subject):
            return function(*arguments, **named)

    return relaying


def send(phase: Phase) -> None:
    """Store a phase event for the driver; if the store fails, only the event is lost."""
    if not _at_hand():
        return
    try:
        _store()._internal_kv_put(_new_key(), json.dumps(asdict(phase)).encode())
    except Exception as error:  # Ray raises many types
        log.info("a phase was not reported: %s", error)


@contextmanager
def collect_phases(hear: Hear) -> Iterator[None]:
    """Pass the phase events of workers to `hear` while the block runs, and the rest at its end."""
    over = threading.Event()

    def collect_all() -> None:
        while not over.wait(COLLECT_EVERY_S):
            collect_now(hear)

    thread = threading.Thread(target=collect_all, name="phases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        collect_now(hear)


def collect_now(hear: Hear) -> None:
    """Pass the phase events that workers have sent so far to `hear`, in order, and delete them."""
    if not _at_hand():
        return
    with _COLLECTING:  # otherwise two threads would take the same events
        try:
            store = _store()
            for key in sorted(store._internal_kv_list(_box())):
                phase = Phase(**json.loads(store._internal_kv_get(key)))
                store._internal_kv_del(key)
                hear(phase)
        except Exception as error:  # Ray raises many types
            log.info("phases of workers were not collected: %s", error)


def _at_hand() -> bool:
    """Whether this process is in a Ray session; without one, using the store would start one."""
    import ray

    return bool(ray.is_initialized())


def _store() -> Any:
    from ray.experimental import internal_kv  # Ray's only store that needs no process

    return internal_kv


def _box() -> bytes:
    import ray

    return f"{_BOX} {ray.get_runtime_context().get_job_id()} ".encode()


def _new_key() -> bytes:
    return _box() + f"{time.time_ns():020d} {os.getpid()}".encode()
