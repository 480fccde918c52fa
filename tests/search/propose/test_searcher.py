import dataclasses
import itertools
import json
import math
import time

import optuna
import pytest
from epoch_results import result
from optuna.trial import TrialState
from ray.tune.search import Searcher

from tlsearch.config.catalog import Direction
from tlsearch.config.load import parse
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.journal import read_journal
from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending
from tlsearch.search.propose.outcome import RETRIES
from tlsearch.search.propose.searcher import TruthfulSearch
from tlsearch.search.stopper import SearchStopper

SPACE = """
data: {kind: digits}
space:
  backbone: [strokes, photos]
  unfrozen_layers: [0, 15, all]
  head_units: [none, 128, [256, 128]]
  batch_size: {low: 16, high: 64, step: 16}
baselines:
  - {backbone: photos, unfrozen_layers: 15, head_units: [256, 128], fine_tune_lr: 1e-3}
  - {backbone: strokes, unfrozen_layers: 0, head_units: none, head_lr: 1e-2}
epochs: 6
trials: 10
"""


@pytest.fixture
def search(tmp_path, heard):
    def build(**changes):
        settings = [f"{key}={value}" for key, value in changes.items()]
        config = parse(SPACE, settings=settings)
        return TruthfulSearch(
            config, tmp_path / "journal.log", lambda trial, record: heard.append(trial)
        )

    return build


def test_baselines_come_first_and_whole(search):
    searcher = search()
    first, second = (searcher.suggest(name)["trial"] for name in ("a", "b"))
    assert (first["backbone"], first["unfrozen_layers"]) == ("photos", 15)
    assert (first["head_units"], first["fine_tune_lr"]) == ([256, 128], 1e-3)
    assert (second["backbone"], second["head_units"], second["head_lr"]) == ("strokes", [], 1e-2)


def test_a_rate_exists_only_where_it_is_used(search):
    searcher = search(trials=40)
    for place in range(40):
        trial = searcher.suggest(str(place))["trial"]
        frozen = trial["unfrozen_layers"] == 0
        assert (trial["head_lr"] is not None) == frozen
        assert (trial["fine_tune_lr"] is None) == frozen
        searcher.on_trial_complete(str(place), result(6, 0.1 + place / 100))


def test_a_finished_trial_is_complete_with_its_best_epoch(search, heard):
    searcher = search()
    searcher.suggest("a")
    for epoch, value in [(1, 0.4), (2, 0.9), (3, 0.7)]:
        searcher.take("a", result(epoch, value))
    searcher.on_trial_complete("a", result(6, 0.8))
    (trial,) = [t for t in searcher.study.trials if t.state.is_finished()]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.9)
    assert (heard[0].state, heard[0].reason) == ("finished", "trained to the last epoch")


def test_a_stopped_trial_is_pruned_with_its_last_report(search, heard):
    searcher = search()
    for name in ("good", "bad"):
        searcher.suggest(name)
    assert searcher.take("good", result(2, 0.5))
    assert searcher.take("bad", result(1, 0.6))
    assert not searcher.take("bad", result(2, 0.3))
    searcher.on_trial_complete("bad", result(2, 0.3))
    (trial,) = [t for t in searcher.study.trials if t.state.is_finished()]
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.3)
    assert trial.intermediate_values == {1: 0.6, 2: 0.3}
    reason = "stopped at epoch 2: 0.3 < 0.5, place 2 of 2 at rung 2"
    assert [(trial.state, trial.reason) for trial in heard] == [("stopped", reason)]


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (result(2, math.nan, diverged=True), "diverged"),
        (result(2, math.nan, failure="ValueError: no"), "failed"),
    ],
)
def test_a_trial_gone_wrong_is_pruned_and_infeasible(search, heard, last, state):
    searcher = search()
    searcher.suggest("a")
    searcher.take("a", result(1, 0.99))
    searcher.on_trial_complete("a", last)
    (trial,) = [t for t in searcher.study.trials if t.state.is_finished()]
    assert trial.state == TrialState.PRUNED
    assert any(value > 0 for value in trial.constraints.values())
    assert heard[0].state == state


def test_a_lost_worker_is_a_failed_trial(search, heard):
    searcher = search()
    first = searcher.suggest("first")
    searcher.take("first", result(1, 0.5))
    for name in ("first", "second", "third"):
        searcher.on_trial_complete(name, None, error=True)
        assert not heard
        assert searcher.suggest({"first": "second", "second": "third"}.get(name, "last")) == first
    searcher.on_trial_complete("last", None, error=True)
    assert heard[0].state == "failed"
    assert "the worker was lost" in heard[0].reason


def test_a_trial_whose_nodes_are_lost_is_taken_up_as_often_as_that_happens(tmp_path, heard):
    nodes_die = [True]

    def announce(trial, record):
        heard.append(trial)

    searcher = TruthfulSearch(
        parse(SPACE), tmp_path / "journal.log", announce, excused=lambda lost_at: nodes_die[0]
    )
    first = searcher.suggest("0")
    for number in range(3 * RETRIES):
        searcher.on_trial_complete(str(number), None, error=True)
        assert searcher.suggest(str(number + 1)) == first
    nodes_die[0] = False  # the next loss is not that of a node
    searcher.on_trial_complete(str(3 * RETRIES), None, error=True)
    assert heard[0].state == "failed"


def test_a_search_waits_for_what_runs_and_then_it_is_finished(search):
    searcher = search()
    names = [str(number) for number in range(10)]
    for name in names:
        searcher.suggest(name)
    assert searcher.suggest("more") is None
    searcher.on_trial_complete("3", None, error=True)
    assert searcher.suggest("more")["number"] == 3
    for name in ("more", *names):
        searcher.on_trial_complete(name, result(6, 0.8))
    assert searcher.suggest("even more") == Searcher.FINISHED


def test_a_trial_cut_short_is_not_told_and_comes_first_on_resume(search, record):
    before = search()
    configs = [before.suggest(name) for name in ("a", "b", "c")]
    before.take("b", result(1, 0.7))
    before.on_trial_complete("a", result(6, 0.8))
    assert [t.state for t in record().trials] == ["finished", "unfinished", "unfinished"]
    after = search()
    assert after.remaining() == 9
    assert [after.suggest(name) for name in ("x", "y")] == configs[1:]
    assert after.suggest("z")["number"] == 3
    after.on_trial_complete("x", result(6, 0.9))
    assert [t.state for t in record().trials][:2] == ["finished", "finished"]
    assert record().trials[1].values == {1: 0.7, 6: 0.9}


def test_a_resumed_study_proposes_something_new(search):
    proposals = []
    for place in range(6):
        searcher = search(trials=20)  # a new process each time
        proposals.append(json.dumps(searcher.suggest(str(place))["trial"]))
        searcher.on_trial_complete(str(place), result(6, 0.5))
    assert len(set(proposals)) == 6


def test_what_no_other_trial_could_do_better_is_not_told(search, heard, record):
    searcher = search()
    searcher.suggest("a")
    searcher.on_trial_complete("a", result(0, math.nan, failure="no space left", fatal=True))
    assert not heard
    assert [t.state for t in record().trials] == ["unfinished", "waiting"]


def test_a_searcher_takes_no_listener_to_where_ray_pickles_it(search, heard):
    import pickle

    searcher = search()
    searcher._announce = lambda trial, record: heard
    assert pickle.loads(pickle.dumps(searcher)).__dict__ == {}


def test_baselines_are_not_tried_again_on_resume(search):
    before = search()
    for name in ("a", "b"):
        before.suggest(name)
        before.on_trial_complete(name, result(6, 0.5))
    trial = search().suggest("c")
    assert trial["number"] == 2
    assert trial["trial"]["fine_tune_lr"] != 1e-3


def test_the_sampler_learns_from_what_it_was_told(search, record):
    searcher = search(trials=60)
    for place in range(60):
        trial = searcher.suggest(str(place))["trial"]
        good = trial["backbone"] == "photos" and trial["unfrozen_layers"] == 15
        searcher.on_trial_complete(str(place), result(6, 0.9 if good else 0.1))
    last = [t.config for t in record().trials[-20:]]
    chance = len(last) / 6
    assert sum(c["backbone"] == "photos" and c["unfrozen_layers"] == 15 for c in last) > 2 * chance
    assert ranked_trials(record())[0].best(Direction.MAX)[1] == 0.9


def test_the_same_seed_proposes_the_same(search, tmp_path):
    proposals = []
    for run in range(2):
        config = parse(SPACE)
        searcher = TruthfulSearch(config, tmp_path / f"{run}.log", lambda trial, record: None)
        proposals.append([])
        for place in range(8):
            proposals[run].append(searcher.suggest(str(place)))
            searcher.on_trial_complete(str(place), result(6, place / 10))
    assert proposals[0] == proposals[1]


def test_the_journal_is_one_that_optuna_reads(search, tmp_path):
    searcher = search()
    searcher.suggest("a")
    searcher.on_trial_complete("a", result(6, 0.8))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal.log"))
    study = optuna.load_study(
        study_name="tlsearch", storage=optuna.storages.JournalStorage(backend)
    )
    assert study.best_value == 0.8
    assert json.loads(study.best_trial.user_attrs["config"])["backbone"] == "photos"


def test_a_clock_that_jumps_by_hours_changes_nothing(tmp_path, monkeypatch):
    records = []
    for name, jumps in (("steady", [0.0]), ("jumping", [-1e5, 3.6e4, -7.2e4])):
        clock = itertools.cycle(jumps)
        real = time.time()
        monkeypatch.setattr(time, "time", lambda real=real, clock=clock: real + next(clock))
        journal = tmp_path / f"{name}.log"
        searcher = TruthfulSearch(parse(SPACE), journal, lambda trial, record: None)
        stopper = SearchStopper(Ending(), Budget(3600), searcher.note)
        for place in range(10):
            searcher.suggest(str(place))
            searcher.take(str(place), result(1, place / 20))
            searcher.on_trial_complete(str(place), result(6 if place % 3 else 2, place / 20))
            assert not stopper.stop_all()
        stopper.note_spent()
        found = read_journal(journal)
        records.append([dataclasses.replace(t, started=None, ended=None) for t in found.trials])
        assert 0 <= found.facts["spent_s"] < 60
    assert records[0] == records[1]
