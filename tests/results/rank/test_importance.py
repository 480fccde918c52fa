"""Which parameters mattered, by the record alone."""

import pytest

from tlsearch.results.rank.importance import importances, parameters
from tlsearch.results.record.journal import StudyRecord, TrialRecord


def test_importance_finds_the_parameter_that_decides() -> None:
    trials = tuple(
        TrialRecord(
            n, "finished", {"backbone": "ab"[n % 2], "batch_size": 16 + n % 3}, {1: 0.1 + n % 2}
        )
        for n in range(40)
    )
    shares = importances(StudyRecord("max", trials))
    assert next(iter(shares)) == "backbone"
    assert sum(shares.values()) == pytest.approx(1)


def test_a_trials_rate_is_that_of_its_own_phase() -> None:
    trials = (
        TrialRecord(0, "finished", {"head_lr": 0.1}, {1: 0.9}),
        TrialRecord(1, "finished", {"head_lr": None, "fine_tune_lr": 0.01}, {1: 0.8}),
    )
    assert parameters(StudyRecord("max", trials)) == {"learning_rate": [0.1, 0.01]}
