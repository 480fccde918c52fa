"""Real searches that are harmed on purpose, and what they are worth afterwards.

One study takes several faults, one after another, since Ray and TensorFlow are slow to start.
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from injected import FAULTS, jumping_clock, kill_a_worker, kill_every_worker_of
from losses import Reference, losses
from small_study import small_study, study_on_small_disk

from tlsearch.search.propose.outcome import RETRIES

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.training]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return Reference(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def small(tmp_path):
    with small_study(tmp_path) as study:
        yield study


def harmed(small, names, reference):
    """Each fault in turn, the study extended in between; `losses` of its end."""
    for seed, name in enumerate(names):
        before = small.ended()
        assert FAULTS[name](small, random.Random(seed)), f"{name} did not hit"
        if name != "journal tail cut":
            after = small.ended()
            assert {number: after[number] for number in before} == before
    before = small.ended()
    small.finish()
    assert not small.complaints
    assert losses(small, before, reference) == []


def test_a_driver_killed_again_and_again_with_its_journal_and_features_cut(small, reference):
    faults = ["driver killed", "journal tail cut", "feature arrays truncated"]  # all three kill it
    harmed(small, faults, reference)
    curve = small.study / "trials" / "00001" / "curves.jsonl"
    whole = curve.read_text()
    for wrong in (whole + whole.splitlines()[-1] + "\n", whole.replace("0.", "0.1"), ""):
        curve.write_text(wrong)
        assert losses(small, {}, reference)  # what is lost is seen


def test_workers_killed_and_one_trial_again_and_again_under_a_jumping_clock(tmp_path, reference):
    with small_study(tmp_path, trials=9) as small:
        small.start(**jumping_clock(seed=0))
        memory = ThreadPoolExecutor().submit(kill_every_worker_of, small, 0)
        assert all(kill_a_worker(small, random.Random(seed), within=12) for seed in range(3))
        assert memory.result() == 1 + RETRIES
        small.expect(0, "the clock jumps")
        harmed(small, ["pictures damaged"], reference)


def test_a_full_disk(tmp_path, reference):
    try:
        with study_on_small_disk(tmp_path, trials=3) as small:
            harmed(small, ["disk full"], reference)
    except PermissionError as error:
        required = "faults" in os.environ.get("TLSEARCH_REQUIRE", "").split(",")
        (pytest.fail if required else pytest.skip)(str(error))
