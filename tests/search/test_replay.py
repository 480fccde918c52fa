"""Trials replayed beside their record: what matches, what does not, what is refused."""

import json
import math
import sys
from dataclasses import replace

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from tlsearch.base.errors import ConfigError, RecordError, WeightsError
from tlsearch.base.machine import machine
from tlsearch.cli.main import main
from tlsearch.cli.read.replay_command import as_json, verdict
from tlsearch.config.device import SHARE as TOLERANCE
from tlsearch.config.load import parse
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare
from tlsearch.results.record.directory import StudyDirectory, package_versions
from tlsearch.results.record.journal import STUDY_NAME, open_storage
from tlsearch.search.extend import plain_config
from tlsearch.search.handle import Study
from tlsearch.search.propose.outcome import LOST
from tlsearch.search.replay import (
    EpochPair,
    Replay,
    comparison,
    replay,
    versions_of_trial,
)
from tlsearch.search.trial.prepared_images import describe

HEAD = TrialConfig(
    backbone="strokes", image_px=32, epochs=3, warm_up_epochs=1, head_lr=1e-2, dropout=0.2
)
UNSTABLE = HEAD.model_copy(
    update={"unfrozen_layers": 15, "head_lr": None, "fine_tune_lr": 1e38, "optimizer": "sgd"}
)


def replayed(*pairs, exact=True, ended=("", ""), tolerance=TOLERANCE):
    """Return a replay with these pairs of recorded and new values."""
    epochs = [EpochPair(n, {"value": a}, {"value": b}) for n, (a, b) in enumerate(pairs)]
    return Replay(
        3, "finished", "accuracy", tuple(epochs), ended, "", {}, exact, tolerance, threads=1
    )


values = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(values, min_size=1), st.data())
def test_on_the_same_machine_one_bit_is_a_mismatch(numbers, data):
    same = [(x, x) for x in numbers]
    assert replayed(*same).matched
    place = data.draw(st.integers(0, len(same) - 1))
    x = numbers[place]
    same[place] = (x, math.nextafter(x, math.inf if x < 1e308 else 0.0))
    assert not replayed(*same).matched


@given(st.floats(0, 1), st.floats(-0.05, 0.05))
def test_elsewhere_a_metric_matches_within_the_tolerance(value, apart):
    now = value + apart
    assert replayed((value, now), exact=False).matched == (abs(value - now) <= TOLERANCE)


@pytest.mark.parametrize(
    ("precision", "bits", "alike", "expected"),
    [
        ("float32", "", True, (True, 0.01)),
        ("float32", "", False, (False, 0.01)),
        ("float32", "xla", True, (False, 0.01)),
        ("tf32", "tf32", True, (False, 0.01)),
        ("mixed_bfloat16", "mixed_bfloat16", True, (False, 0.02)),
        ("mixed_float16", "mixed_float16 256 rows", False, (False, 0.02)),
    ],
)
def test_bits_are_compared_in_float32_alone_and_16_bits_may_differ_by_more(
    precision, bits, alike, expected
):
    assert comparison(precision, bits, alike, 10_000) == expected
    assert comparison(precision, bits, alike, 40)[1] == 2 / 40


def test_a_loss_has_a_share_of_itself_as_tolerance():
    assert replayed((50.0, 50.4), exact=False).matched
    assert not replayed((50.0, 50.6), exact=False).matched


@pytest.mark.parametrize("exact", [True, False])
def test_a_trial_that_ends_otherwise_does_not_match(exact):
    done = replayed((0.5, 0.5), exact=exact, ended=("", "diverged at epoch 1"))
    assert not done.matched


def test_each_verdict_says_which():
    assert verdict(replayed((0.5, 0.5))) == "trial 3 matched: all 1 epochs equal to the last bit"
    assert verdict(replayed((0.5, 0.6))) == (
        "trial 3 did not match: the machine and versions are the same, but the values differ"
    )
    near, far = ((0.5, 0.501),), ((0.5, 0.6),)
    assert verdict(replayed(*near, exact=False)) == "trial 3 matched within 0.01 in accuracy"
    assert verdict(replayed(*far, exact=False)) == (
        "trial 3 did not match, even within 0.01 in accuracy"
    )


def test_json_holds_no_infinity():
    pair = EpochPair(0, {"value": 0.5, "train_loss": None}, {"value": 0.5, "train_loss": 1.0})
    done = replace(replayed(), epochs=(pair,))
    assert done.difference == math.inf
    assert json.loads(json.dumps(as_json(done), allow_nan=False))["difference"] is None


def test_a_trial_has_the_versions_of_the_last_extension_before_it():
    extensions = [{"after_trials": 5, "versions": {"numpy": "2"}}]
    about = {"versions": {"numpy": "1"}, "extended": extensions}
    found = [versions_of_trial(about, number)["numpy"] for number in (0, 4, 5, 9)]
    assert found == ["1", "1", "2", "2"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def home(tmp_path, cache, replayed_space):
    """Return a study directory on a few digits, without trials."""
    config = parse(replayed_space, settings=[f"cache={cache}"])
    found = StudyDirectory(tmp_path / "study")
    found.write_about(plain_config(config), data=describe(prepare(config.data, cache)))
    return found


def write_row(home, trial, values, state=TrialState.COMPLETE, **notes):
    """Write the record of one trial, as a search on this machine does."""
    known = {"config": json.dumps(trial.to_json()), "machine": machine(), "threads": 1}
    study = optuna.create_study(
        storage=open_storage(home.journal_file), study_name=STUDY_NAME, direction="maximize"
    )
    row = optuna.trial.create_trial(
        state=state,
        value=max(values.values(), default=None) if state == TrialState.COMPLETE else None,
        intermediate_values=values,
        user_attrs={**known, **notes},
    )
    study.add_trial(row)
    return Study(home.root)


def test_a_trial_that_does_not_exist_is_a_mistake(home):
    with pytest.raises(ConfigError, match=r"study: there is no trial 7$"):
        replay(write_row(home, HEAD, {0: 0.5}), 7)


def test_a_trial_that_reported_nothing_is_a_mistake(home):
    with pytest.raises(ConfigError, match="trial 0 has reported nothing yet"):
        replay(write_row(home, HEAD, {}, TrialState.RUNNING), 0)


def test_a_record_without_a_configuration_is_damaged(home):
    study = write_row(home, HEAD, {0: 0.5})
    path = study.home.journal_file
    path.write_bytes(path.read_bytes().replace(b'"config"', b'"konfig"'))
    with pytest.raises(RecordError, match="no line tells the configuration of trial 0"):
        replay(study, 0)


@pytest.mark.parametrize(("directory", "code"), [("study", 2), ("gone", 4)])
def test_what_cannot_be_replayed_has_its_exit_code(home, monkeypatch, directory, code):
    write_row(home, HEAD, {0: 0.5})
    monkeypatch.setattr(sys, "argv", ["tlsearch", "replay", str(home.root.parent / directory), "7"])
    assert main() == code


def epochs_of(home, trial, broken_after=None):
    """Return the reports of a trial, interrupted and resumed after `broken_after` if given."""
    config = Study(home.root).config
    from tlsearch.search.trial.workplace import workplace

    place = workplace(config, prepare(config.data, config.cache_path), home.root)
    reports = []
    for report in place.train(trial):
        reports.append(report)
        if report.epoch == broken_after:
            return [*reports, *place.train(trial, report.snapshot())]
    return reports


def write_curve(home, reports):
    names = ("epoch", "value", "train_loss", "validation_loss", "seconds")
    points = [{name: getattr(report, name) for name in names} for report in reports]
    home.trial(0).mkdir(parents=True)
    text = "".join(json.dumps(point) + "\n" for point in points)
    (home.trial(0) / "curves.jsonl").write_text(text)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.training
@pytest.mark.parametrize("broken_after", [None, 1])
def test_a_trial_replays_to_the_last_bit_and_its_record_stays(home, broken_after):
    reports = epochs_of(home, HEAD, broken_after)
    study = write_row(home, HEAD, {report.epoch: report.value for report in reports})
    write_curve(home, reports)
    before = contents(home.root)
    heard = []
    done = replay(study, 0, heard.append)
    assert (done.exact, done.equal, done.matched, done.difference) == (True, True, True, 0.0)
    assert [pair.epoch for pair in heard] == [0, 1, 2, 3]
    assert set(heard[0].recorded) == {"value", "train_loss", "validation_loss"}
    assert contents(home.root) == before


@pytest.fixture(scope="module")
def true_values(tmp_path_factory, cache, replayed_space):
    config = parse(replayed_space, settings=[f"cache={cache}"])
    found = StudyDirectory(tmp_path_factory.mktemp("true"))
    found.write_about(plain_config(config))
    return {report.epoch: report.value for report in epochs_of(found, HEAD)}


@pytest.mark.training
def test_a_stopped_trial_is_replayed_to_where_it_stopped(home, true_values):
    stopped = {epoch: true_values[epoch] for epoch in (0, 1, 2)}
    done = replay(write_row(home, HEAD, stopped, TrialState.PRUNED, outcome="stopped"), 0)
    assert done.equal
    assert [pair.epoch for pair in done.epochs] == [0, 1, 2]


@pytest.mark.training
def test_an_epoch_too_many_is_a_mismatch(home, true_values):
    done = replay(write_row(home, HEAD, {**true_values, 4: 0.5}), 0)
    assert not done.matched
    assert done.ended == ("", "ended after 4 epochs")


@pytest.mark.training
def test_other_versions_and_cpus_are_named_and_ask_for_no_equal_bits(home, true_values):
    about = yaml.safe_load(home.study_file.read_text())
    about["versions"]["numpy"] = "1.0"
    home.study_file.write_text(yaml.safe_dump(about))
    near = {epoch: value + 1e-3 for epoch, value in true_values.items()}
    done = replay(write_row(home, HEAD, near, machine="another"), 0)
    assert done.differs == {
        "numpy": ("1.0", package_versions()["numpy"]),
        "machine": ("another", machine()),
    }
    assert (done.exact, done.equal, done.matched) == (False, False, True)
    assert done.tolerance == 2 / 70  # two pictures, here more than a percentage point
    assert done.difference == pytest.approx(1e-3)


@pytest.mark.training
def test_a_trial_that_diverged_diverges_at_the_same_epoch(home):
    reports = epochs_of(home, UNSTABLE)
    last = next(report for report in reports if report.diverged)
    assert last.epoch > 0
    sound = {report.epoch: report.value for report in reports if report.epoch < last.epoch}
    row = write_row(home, UNSTABLE, sound, TrialState.PRUNED, outcome="diverged")
    done = replay(row, 0)
    assert done.ended == (f"diverged at epoch {last.epoch}",) * 2
    assert done.matched


@pytest.mark.training
def test_a_trial_that_failed_fails_again_with_its_traceback(home):
    bad = HEAD.model_copy(update={"optimizer": "nonesuch"})
    row = write_row(home, bad, {}, TrialState.PRUNED, outcome="failed")
    done = replay(row, 0)
    assert done.matched
    assert "Traceback" in done.failure
    assert "nonesuch" in done.failure


@pytest.mark.training
def test_a_lost_worker_is_no_failure_of_the_configuration(home, true_values):
    first = {0: true_values[0]}
    row = write_row(home, HEAD, first, TrialState.PRUNED, outcome="failed", reason=LOST)
    done = replay(row, 0)
    assert done.ended == ("failed after 1 epochs", "")
    assert not done.matched


@pytest.mark.training
def test_other_images_are_refused(home, true_values):
    study = write_row(home, HEAD, true_values)
    study.about["data"]["fingerprint"] = "another"
    with pytest.raises(RecordError, match="are not those that the study began with; restore them"):
        replay(study, 0)


@pytest.mark.training
def test_other_pretrained_weights_are_refused(home, true_values):
    row = write_row(home, HEAD, true_values, network="0" * 32)
    with pytest.raises(WeightsError, match=r"strokes: .*recorded 000000000000, found"):
        replay(row, 0)


@pytest.mark.training
def test_a_trial_that_does_not_say_its_weights_is_replayed_with_one_warning(
    home, true_values, caplog
):
    replay(write_row(home, HEAD, true_values), 0)
    assert caplog.text.count("does not record its pretrained weights") == 1


@pytest.mark.training
def test_other_threads_need_a_process_of_their_own(home, true_values):
    with pytest.raises(ConfigError, match="other threads than the 7 of trial 0; replay it in a"):
        replay(write_row(home, HEAD, true_values, threads=7), 0)
