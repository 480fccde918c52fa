"""Trials are compared with the leader on the same images if their predictions were kept."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from tlsearch.base.digests import sha256
from tlsearch.config.catalog import Direction
from tlsearch.results.rank.leaderboard import leaderboard
from tlsearch.results.rank.mcnemar import paired_p
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import PREDICTIONS
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.record.predictions import Predictions
from tlsearch.results.report.readable_table import readable_rows
from tlsearch.results.report.text import explain, render

IMAGES = 547
SHOWN = np.zeros(IMAGES, np.int32)
ABOUT = {
    "config": {"name": "leaves", "metric": "accuracy"},
    "data": {"images": {"validation": IMAGES}},
}


def called(right, first=0):
    """Return predictions of which `right` are right, starting at image `first`."""
    return np.where((np.arange(IMAGES) - first) % IMAGES < right, 0, 1)


@pytest.fixture
def home(tmp_path):
    return StudyDirectory(tmp_path)


def study(home, *rights, kept=None, state="finished"):
    """Return trials with these numbers of right images at epoch 2, the best first."""
    trials = tuple(
        TrialRecord(n, state, {}, {1: 0.1, 2: right / IMAGES}) for n, right in enumerate(rights)
    )
    for trial, right in zip(trials, rights, strict=True):
        if kept is None or trial.number in kept:
            Predictions(2, SHOWN, called(right)).save(path(home, trial.number))
    return StudyRecord(Direction.MAX, trials)


def path(home, number):
    return home.trial(number) / PREDICTIONS


def ranks(home, record, about=ABOUT):
    return leaderboard(record, about, home.best).rows


def test_511_of_547_is_told_from_500_where_the_images_are_the_same(home):
    leader, other = ranks(home, study(home, 511, 500))
    assert (leader["tied"], leader["p_value"]) == (True, None)
    assert other["low"] <= leader["metric"] <= other["high"]
    assert other["tied"] is False
    assert other["p_value"] == pytest.approx(2 * 0.5**11)


def test_mistakes_on_other_images_tell_less(home):
    record = study(home, 511, 500)
    Predictions(2, SHOWN, called(500, first=36)).save(path(home, 1))
    other = ranks(home, record)[1]
    assert other["p_value"] == paired_p("accuracy", SHOWN, called(511), called(500, 36))
    assert other["p_value"] > 0.05
    assert other["tied"] is True


@pytest.mark.parametrize("kept", [(), (0,), (1,)])
def test_without_predictions_of_both_the_intervals_decide(home, kept):
    other = ranks(home, study(home, 511, 500, kept=kept))[1]
    assert (other["tied"], other["p_value"]) == (True, None)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_macro_averages_are_compared_by_swaps(home, metric):
    about = {**ABOUT, "config": {"name": "leaves", "metric": metric}}
    alike, apart = ranks(home, study(home, 511, 511, 440), about)[1:]
    assert (alike["tied"], alike["p_value"]) == (True, 1)
    assert apart["tied"] is False
    assert apart["p_value"] < 0.01


@pytest.mark.parametrize("metric", ["auc", "loss"])
def test_a_metric_of_probabilities_is_not_compared_by_classes(home, metric):
    about = {**ABOUT, "config": {"name": "leaves", "metric": metric}}
    alike, apart = ranks(home, study(home, 511, 511, 440), about)[1:]
    assert (alike["tied"], apart["tied"]) == (True, False)
    assert alike["p_value"] is apart["p_value"] is None


def test_the_mark_says_by_which_rule(home):
    record = study(home, 511, 509, 505, 300, kept=(0, 1))
    grid = readable_rows(leaderboard(record, ABOUT, home.best).rows, "accuracy")
    assert [row[grid.columns.index("tie")] for row in grid.body] == ["=", "=", "~", ""]
    assert explain(grid)[-2:] == [
        "=: the validation split cannot tell this trial from the leader",
        "~: perhaps tied, judged by intervals alone: the predictions of this trial or the leader "
        "were not kept, so they cannot be compared image by image",
    ]


def test_a_study_that_kept_none_is_not_warned_of(home, caplog):
    ranks(home, study(home, 511, 500, kept=()))
    assert caplog.records == []


@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_predictions_of_another_trial_are_left_out(home, caplog, state):
    record = study(home, 511, 500, 500, state=state)
    kept = {PREDICTIONS: sha256(path(home, 1))}
    record = replace(record, trials=tuple(replace(one, kept=kept) for one in record.trials))
    path(home, 0).write_bytes(path(home, 1).read_bytes())
    caplog.set_level(logging.WARNING)
    assert ranks(home, record)[1]["p_value"] == 1  # they match the digest in the journal
    Predictions(2, SHOWN, called(400)).save(path(home, 1))
    found = ranks(home, record)[1]["p_value"]
    assert (found is None) is (state == "finished")  # a running trial may be ahead of the journal
    assert (
        f"{path(home, 1)}: not the file that the journal recorded for trial 1" in caplog.text
    ) is (state == "finished")


DAMAGE = {
    "damaged": lambda file: file.write_bytes(b"PK no archive"),
    "other images": lambda file: Predictions(2, SHOWN + 1, SHOWN).save(file),
    "fewer images": lambda file: Predictions(2, SHOWN[1:], SHOWN[1:]).save(file),
    "another epoch": lambda file: Predictions(1, SHOWN, SHOWN).save(file),
    "missing": lambda file: file.unlink(),
}

MESSAGES = {
    "damaged": "; the trial is compared with the leader by their intervals only",
    "other images": "trial 1 and the leader were scored on different images; not paired",
    "fewer images": "trial 1 and the leader were scored on different images; not paired",
    "another epoch": "holds predictions of epoch 1, expected those of the best epoch, 2; ignored",
    "missing": "that ended; compared with the leader by their intervals only",
}


@pytest.mark.parametrize("harm", DAMAGE)
@pytest.mark.parametrize("number", [0, 1])
def test_what_cannot_be_read_falls_back_with_one_warning(home, harm, number, caplog):
    record = study(home, 511, 500)
    DAMAGE[harm](path(home, number))
    with caplog.at_level(logging.WARNING):
        for form in ("json", "md", "csv"):
            render(leaderboard(record, ABOUT, home.best), form)
        other = ranks(home, record)[1]
    assert (other["tied"], other["p_value"]) == (True, None)
    (message,) = caplog.messages
    assert str(home.root) in message
    assert message.endswith(MESSAGES[harm])


def test_a_running_trial_that_is_ahead_of_the_journal_is_not_warned_of(home, caplog):
    record = study(home, 511, 500, state="unfinished")
    Predictions(3, SHOWN, called(512)).save(path(home, 1))
    assert ranks(home, record)[1]["p_value"] is None
    assert caplog.records == []


def test_of_a_thousand_trials_those_with_predictions_are_compared(home):
    record = study(home, *range(547, 47, -1), *range(547, 47, -1), kept=(0, 500, 1, 501, 2))
    found = ranks(home, record)
    assert len(found) == 1000
    assert sum(row["p_value"] is not None for row in found) == 4
