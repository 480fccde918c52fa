"""Phases of workers, told to the driver through the key-value store of Ray's head.

Every node reaches it, and it needs no process and no shared folder.
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


def relayed(function: Callable[P, T], subject: str = "") -> Callable[P, T]:
    """The function, for a worker: its phases are told to the driver."""

    @functools.wraps(function)
    def told(*arguments: P.args, **named: P.kwargs) -> T:
        with heard_by(send, subject):
            return function(*arguments, **named)

    return told


def send(phase: Phase) -> None:
    """Leave a phase for the driver; a store that does not answer costs the news, no work."""
    if not _at_hand():
        return
    try:
        _store()._internal_kv_put(_new_key(), json.dumps(asdict(phase)).encode())
    except Exception as error:  # of Ray's many kinds
        log.info("a phase was not told: %s", error)


@contextmanager
def collecting(hear: Hear) -> Iterator[None]:
    """Tell `hear` of what workers have sent, as long as the block lasts, and what is left then."""
    over = threading.Event()

    def collect_all() -> None:
        while not over.wait(COLLECT_EVERY_S):
            collect(hear)

    thread = threading.Thread(target=collect_all, name="phases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        collect(hear)


def collect(hear: Hear) -> None:
    """Tell `hear` of what workers have sent so far, in its order, and forget it."""
    if not _at_hand():
        return
    with _COLLECTING:  # else two threads would take the same news
        try:
            store = _store()
            for key in sorted(store._internal_kv_list(_box())):
                phase = Phase(**json.loads(store._internal_kv_get(key)))
                store._internal_kv_del(key)
                hear(phase)
        except Exception as error:  # of Ray's many kinds
            log.info("phases of workers were not collected: %s", error)


def _at_hand() -> bool:
    """Whether this process is in a Ray session; asked for its store without one, Ray starts one."""
    import ray

    return bool(ray.is_initialized())


def _store() -> Any:
    from ray.experimental import internal_kv  # of what Ray has, the one way without a process

    return internal_kv


def _box() -> bytes:
    import ray

    return f"{_BOX} {ray.get_runtime_context().get_job_id()} ".encode()


def _new_key() -> bytes:
    return _box() + f"{time.time_ns():020d} {os.getpid()}".encode()
