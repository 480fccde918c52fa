"""The outcome of a trial, judged from its last result alone."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.search.propose.outcome import LOST, RETRIES, Outcome, outcome_of

results = st.fixed_dictionaries(
    {"epoch": st.integers(0, 12)},
    optional={
        "diverged": st.booleans(),
        "failure": st.none() | st.just("MemoryError: 3 GB"),
    },
)


@pytest.mark.parametrize(
    ("result", "error", "stop", "outcome"),
    [
        (
            None,
            False,
            None,
            Outcome("failed", LOST, feasible=False),
        ),
        (
            {"epoch": 10},
            True,
            None,
            Outcome("failed", LOST, feasible=False),
        ),
        (
            {"epoch": 3, "failure": "MemoryError: 3 GB"},
            False,
            None,
            Outcome("failed", "MemoryError: 3 GB", feasible=False),
        ),
        (
            {"epoch": 3, "diverged": True},
            False,
            "rung 3",
            Outcome(
                "diverged", "diverged at epoch 3: loss or metric is not a number", feasible=False
            ),
        ),
        ({"epoch": 10}, False, None, Outcome("finished", "trained to the last epoch")),
        (
            {"epoch": 7, "gave_up": True},
            False,
            None,
            Outcome(
                "finished",
                "ended at epoch 7 by early stopping: no better value within its patience",
            ),
        ),
        ({"epoch": 3}, False, "below rung 3", Outcome("stopped", "below rung 3")),
        ({"epoch": 3}, False, None, Outcome("stopped", "stopped at epoch 3")),
    ],
)
def test_each_end_has_its_word_and_its_reason(
    result: dict[str, Any] | None, error: bool, stop: str | None, outcome: Outcome
) -> None:
    assert outcome_of(result, error, 10, stop) == outcome


def test_a_lost_worker_is_told_in_words_with_what_it_may_have_been() -> None:
    assert RETRIES == 3
    assert outcome_of(None, True, 10, None).reason == LOST
    assert LOST == (
        "the worker was lost, and so were its 3 retries from the last saved epoch: its process or "
        "node died; the kernel's out-of-memory killer is a common cause (check `dmesg`)"
    )


@given(results, st.booleans(), st.integers(1, 12), st.none() | st.just("rung"))
def test_a_trial_is_feasible_exactly_where_it_trained_soundly(
    result: dict[str, Any], error: bool, epochs: int, stop: str | None
) -> None:
    outcome = outcome_of(result, error, epochs, stop)
    sound = not (error or result.get("failure") or result.get("diverged"))
    assert outcome.feasible == sound == (outcome.state in ("finished", "stopped"))
    assert not sound or (outcome.state == "finished") == (result["epoch"] >= epochs)
    assert outcome.reason


def test_judging_needs_neither_ray_nor_tensorflow() -> None:
    code = (
        "import sys, tlsearch.search.propose.outcome; print({'ray', 'tensorflow'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
