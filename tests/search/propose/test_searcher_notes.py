"""The events that a search announces while it runs, and what its journal keeps of the trials."""

import json
import math

import pytest
from epoch_results import result

from tlsearch.config.load import parse
from tlsearch.results.live.events import EpochReported, FeaturesWidened, TrialBegan, WorkerLost
from tlsearch.search.propose.outcome import RETRIES, journalled_result
from tlsearch.search.propose.searcher import TruthfulSearch

SPACE = """
data: {kind: digits}
space: {backbone: [strokes, photos], unfrozen_layers: [0, 15, all]}
baselines:
  - {backbone: photos, unfrozen_layers: 15, fine_tune_lr: 1e-3}
  - {backbone: strokes, unfrozen_layers: 0, head_lr: 1e-2}
epochs: 6
trials: 10
"""


@pytest.fixture
def search(tmp_path, heard):
    return lambda: TruthfulSearch(
        parse(SPACE), tmp_path / "journal.log", lambda *ended: None, heard.append
    )


def test_the_record_numbers_nodes_and_names_no_host() -> None:
    workers = [
        journalled_result({"hostname": host, "pid": 7})["worker"] for host in ("ada", "bob", "ada")
    ]
    number = int(workers[0].split()[1].rstrip(","))
    other = number + 1
    assert workers == [f"node {n}, process 7" for n in (number, other, number)]


def test_a_worker_that_the_record_names_keeps_its_name() -> None:
    assert journalled_result({"worker": "node 3, process 9"})["worker"] == "node 3, process 9"
    assert journalled_result({})["worker"] == ""


def test_proposals_and_epochs_are_told_once_with_their_rung(search, heard):
    searcher = search()
    searcher.suggest("a")
    for epoch, value in [(0, 0.1), (1, 0.2), (2, 0.3), (2, 0.3)]:
        searcher.take("a", result(epoch, value))
    assert isinstance(heard[0], TrialBegan)
    assert heard[1:] == [
        EpochReported(0, 0, 0.1, rung=False),
        EpochReported(0, 1, 0.2, rung=False),
        EpochReported(0, 2, 0.3, rung=True),
    ]


def kept(*digests):
    return json.dumps(dict(zip(("best.npz", "predictions.npz"), digests, strict=False)))


def test_the_digests_of_kept_files_follow_the_trial(search, record, tmp_path):
    searcher = search()
    searcher.suggest("a")
    for epoch, digests in [(1, ("one",)), (2, ("two", "three")), (3, ("two", "three"))]:
        searcher.take("a", result(epoch, kept=kept(*digests)))
        assert record().trials[0].kept == json.loads(kept(*digests))
    lines = (tmp_path / "journal.log").read_text().splitlines()
    noted = [line for line in lines if '"kept"' in line]
    assert len(noted) == 2  # only when they changed, not in each epoch
    again = search()  # a resumed search: another actor begins without a best epoch, ...
    number = again.suggest("b")["number"]
    again.take("b", result(2, kept="{}"))
    assert record().trials[number].kept == json.loads(kept("two", "three"))
    again.take("b", result(3, kept=kept("four")))  # ... and repeats one that was noted
    again.on_trial_complete("b", result(6, 0.9, kept=kept("five")))
    assert record().trials[number].kept == json.loads(kept("five"))


def test_an_epoch_that_went_wrong_keeps_what_was_recorded(search, record):
    searcher = search()
    searcher.suggest("a")
    searcher.take("a", result(1, kept=kept("one")))
    lost = result(2, math.nan, diverged=True, kept=kept("two"))
    searcher.on_trial_complete("a", lost)
    assert record().trials[0].kept == json.loads(kept("one"))


def test_a_wider_type_of_features_is_told_once_per_backbone_and_recorded(search, heard, record):
    searcher = search()
    for name in ("a", "b", "c"):  # photos, strokes, another
        searcher.suggest(name)
    for name, dtype in (("a", "float32"), ("b", "float16")):
        searcher.take(name, result(1, feature_dtype=dtype))
    searcher.on_trial_complete("b", result(6, feature_dtype="float16"))
    again = search()  # another driver, which resumes the interrupted trial
    again.suggest("a")
    again.take("a", result(2, feature_dtype="float32"))
    again.on_trial_complete("a", result(6, feature_dtype="float32"))
    widened = [event for event in heard if isinstance(event, FeaturesWidened)]
    assert widened == [FeaturesWidened("photos", "float16", "float32")]
    assert [trial.feature_dtype for trial in record().trials][:2] == ["float32", "float16"]
    assert [trial.widened for trial in record().trials] == [True, False, False]


def test_later_trials_of_a_backbone_must_have_the_network_that_the_first_one_found(search, record):
    """Both baselines have the default weights, of `photos` and of `strokes`."""
    first = search()
    assert "network" not in first.suggest("a")
    first.take("a", result(1, network="p" * 32))
    assert "network" not in first.suggest("b")
    first.take("b", result(1, network="s" * 32))
    networks = {"photos": "p" * 32, "strokes": "s" * 32}
    later = first.suggest("c")
    assert later["network"] == networks[later["trial"]["backbone"]]
    assert [trial.network for trial in record().trials] == ["p" * 32, "s" * 32, None]
    again = search()
    proposed = [again.suggest(name) for name in "abcd"]
    assert all(
        proposal["network"] == networks[proposal["trial"]["backbone"]] for proposal in proposed
    )


def test_a_trial_that_reported_before_networks_were_noted_is_not_given_one(search, record):
    searcher = search()
    searcher.suggest("a")
    searcher.take("a", result(1))
    searcher.take("a", result(2, network="p" * 32))
    assert record().trials[0].network is None


def test_a_lost_worker_is_told_with_the_epoch_that_it_had_and_what_comes(tmp_path, heard):
    events, nodes_die = [], [True]
    searcher = TruthfulSearch(
        parse(SPACE),
        tmp_path / "journal.log",
        lambda trial, record: heard.append(trial),
        events.append,
        lambda lost_at: nodes_die[0],
    )
    searcher.suggest("0")
    searcher.take("0", result(2, 0.5))
    searcher.on_trial_complete("0", None, error=True)
    nodes_die[0] = False
    for number in range(RETRIES):
        searcher.suggest(str(number + 1))
        searcher.on_trial_complete(str(number + 1), None, error=True)
    lost = [event for event in events if isinstance(event, WorkerLost)]
    assert lost[0] == WorkerLost(0, 2, left=True, retried=True)
    assert lost[-1] == WorkerLost(0, 2, left=False, retried=False)
    assert heard[0].state == "failed"
