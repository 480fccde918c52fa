"""One driver per study in a bucket, as far as a bucket can guarantee it."""

import dataclasses
import os
import subprocess
import time

import pytest

from tlsearch.base.errors import RecordError, StorageError
from tlsearch.results.remote.bucket import Bucket
from tlsearch.results.remote.lease import LEASE, Lease, Owner


@pytest.fixture
def bucket(tmp_path):
    return Bucket(f"file://{tmp_path}")


ELSEWHERE = Owner(host="worker-7", processes="pid:[1]", pid=4)


def test_the_second_driver_is_refused_until_the_first_is_done(bucket):
    first, second = Lease(bucket), Lease(bucket, ELSEWHERE)
    first.take()
    with pytest.raises(RecordError) as refused:
        second.take()
    assert str(refused.value) == (
        f"{bucket.url}: another tlsearch drives this study (process {os.getpid()} on "
        f"{first.owner.host}, seen 0 s ago); stop it, or wait: it counts as ended 120 s "
        "after its last heartbeat"
    )
    first.release()
    second.take()
    assert second.holder() == ELSEWHERE


def test_a_driver_that_died_on_this_machine_is_out_of_the_way_at_once(bucket):
    here = Lease(bucket).owner
    child = subprocess.Popen(["true"])
    child.wait()
    Lease(bucket, dataclasses.replace(here, pid=child.pid, name="dead")).take()
    assert not Lease(bucket).alive()
    Lease(bucket).take()


def test_a_driver_of_another_machine_is_dead_once_it_was_silent_for_long(bucket):
    other = Lease(bucket, ELSEWHERE, stale_s=0.5)
    other.take()
    mine = Lease(bucket, stale_s=0.5)
    assert mine.alive()
    with pytest.raises(RecordError, match="process 4 on worker-7"):
        mine.take()
    time.sleep(0.3)
    other.beat()
    time.sleep(0.3)
    with pytest.raises(RecordError):
        mine.take()
    time.sleep(0.3)
    mine.take()
    with pytest.raises(RecordError, match="another tlsearch took this study over"):
        other.beat()
    other.release()
    assert mine.holder() == mine.owner


def test_a_lease_that_is_gone_is_no_sign_of_another_driver(bucket):
    lease = Lease(bucket)
    lease.take()
    bucket.remove(LEASE)
    with pytest.raises(StorageError) as refused:
        lease.beat()
    assert str(refused.value) == (
        f"{bucket.url}: {LEASE} was deleted; check that the URL still points to the same storage"
    )


def test_what_nobody_can_read_is_no_lease(bucket):
    bucket.write(LEASE, b"{torn")
    Lease(bucket).take()
