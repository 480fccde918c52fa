"""The work of a study relative to one pass per prefix plus the training of its trials."""

import pytest

from tlsearch.config.catalog import Direction
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.text import work_line, work_ratio


def trial(done: float, least: float, prefix: str = "a", one_pass: float = 100.0) -> TrialRecord:
    work = {"done": done, "least": least, "prefix": prefix, "prefix_pass": one_pass}
    return TrialRecord(0, "finished", {}, {1: 0.5}, work=work)


def test_trials_that_share_a_pass_are_at_the_least() -> None:
    assert work_ratio([trial(110, 10), trial(20, 20), trial(30, 30)]) == pytest.approx(1.0)


def test_a_prefix_computed_by_every_trial_counts_each_time() -> None:
    assert work_ratio([trial(110, 10), trial(110, 10)]) == pytest.approx(220 / 120)


def test_every_backbone_has_its_own_pass() -> None:
    assert work_ratio([trial(110, 10), trial(60, 10, "b", 50)]) == pytest.approx(1.0)


def test_the_longest_pass_is_the_least() -> None:
    """A trial cut later passes more layers; its pass also serves a trial cut earlier."""
    assert work_ratio([trial(130, 10, one_pass=80), trial(10, 10, one_pass=120)]) == 1.0


def test_trials_of_an_older_record_say_nothing() -> None:
    assert work_ratio([TrialRecord(0, "finished", {}, {1: 0.5})]) is None


def test_features_of_an_earlier_study_are_named_as_the_reason_for_less_work_than_the_least() -> (
    None
):
    def line(done: float) -> str | None:
        return work_line(StudyRecord(Direction.MAX, (trial(done, 10),)))

    assert line(55) == (
        "compute: 0.50 times the minimum for these trials (an earlier study left its "
        "features in the cache); at 1 nothing is computed twice"
    )
    assert str(line(110)).startswith("compute: 1.00 times the minimum for these trials;")
