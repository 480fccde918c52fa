"""Real searches with injected faults, and what they lose.

One study takes several faults in turn, since Ray and TensorFlow are slow to start.
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from injected import (
    cut_tail,
    disk_full,
    end_without_pictures,
    feature_truncated,
    jumping_clock,
    kill_a_worker,
    kill_every_worker_of,
)
from losses import Reference, losses
from small_study import small_study, study_on_small_disk

from tlsearch.search.propose.outcome import RETRIES

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.training]

TRIALS = 6


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return Reference(tmp_path_factory.mktemp("reference"))


def finished(small, before, reference):
    """Finish the study; return what was lost, including from the trials that had ended before."""
    small.finish()
    assert not small.complaints
    return losses(small, before, reference)


def test_a_study_harmed_in_every_way_but_by_its_disk_loses_nothing(tmp_path, reference):
    """The driver is killed, and the features and the journal are cut. Then, under a jumping clock,
    some workers and all workers of one trial are killed, and pictures are missing at the
    verification.
    """
    with small_study(tmp_path, trials=TRIALS) as small:
        assert feature_truncated(small, random.Random(2))
        assert cut_tail(small, random.Random(1))
        before = small.ended()
        small.start(**jumping_clock(seed=0))
        memory = ThreadPoolExecutor().submit(kill_every_worker_of, small, TRIALS - 1)
        assert all(kill_a_worker(small, random.Random(seed), within=12) for seed in range(2))
        end_without_pictures(small, random.Random(0))
        assert memory.result() == 1 + RETRIES
        assert "the clock jumps" in small.printed()
        after = small.ended()
        assert {number: after[number] for number in before} == before
        assert finished(small, after, reference) == []
        assert losses_are_seen(small, reference)


def losses_are_seen(small, reference):
    """Whether every falsified learning curve is detected."""
    curve = small.study / "trials" / "00001" / "curves.jsonl"
    whole = curve.read_text()
    found = []
    for wrong in (whole + whole.splitlines()[-1] + "\n", whole.replace("0.", "0.1"), ""):
        curve.write_text(wrong)
        found.append(bool(losses(small, {}, reference)))
    return all(found)


def test_a_full_disk(tmp_path, reference):
    try:
        with study_on_small_disk(tmp_path, trials=3) as small:
            assert disk_full(small, random.Random(0))
            assert finished(small, small.ended(), reference) == []
    except PermissionError as error:
        required = "faults" in os.environ.get("TLSEARCH_REQUIRE", "").split(",")
        (pytest.fail if required else pytest.skip)(str(error))
