"""Proposals after trials went wrong, compared with those of stock Ray with Optuna."""

import math
import pickle

import optuna
import pytest
from ray.tune.search.optuna import OptunaSearch

from tlsearch.config.load import parse
from tlsearch.search.propose.optuna_space import build_point
from tlsearch.search.propose.searcher import TruthfulSearch

SPACE = """
data: {kind: digits}
space: {backbone: [strokes, photos, mobilenet_v2, resnet50], unfrozen_layers: [0, 15, 30]}
epochs: 6
trials: 60
seed: SEED
"""
CRASHING = "photos"
TRIALS, LAST = 60, 30


def last_proposals(searcher, crash):
    """Return how many of the last proposals take the choice that always crashes."""
    crashed = []
    for turn in range(TRIALS):
        trial = searcher.suggest(str(turn))["trial"]
        crashed.append(trial["backbone"] == CRASHING)
        result = {"epoch": 6, "value": 0.5 + 0.001 * (turn % 7), "seconds": 1.0}
        if crashed[-1]:
            crash(searcher, str(turn))
        else:
            searcher.on_trial_complete(str(turn), {**result, "diverged": False, "failure": None})
    return sum(crashed[-LAST:])


def crash_told_as_failed(searcher, trial_id):
    searcher.on_trial_complete(trial_id, None, error=True)


def crash_reported(searcher, trial_id):
    failure = {"failure": "Traceback", "failure_at": "x.py:1", "fatal": False}
    searcher.on_trial_complete(trial_id, {"epoch": 0, "value": math.nan, **failure})


def stock(seed):
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    config = parse(SPACE.replace("SEED", str(seed)))

    def propose(trial):
        return {"trial": build_point(config, trial._suggest).trial.to_json()}

    return OptunaSearch(propose, metric="value", mode="max", sampler=sampler)


@pytest.mark.filterwarnings("ignore")
def test_a_choice_that_always_crashes_is_kept_away_from(tmp_path):
    ours = theirs = 0
    for seed in range(3):
        config = parse(SPACE.replace("SEED", str(seed)))
        journal = tmp_path / f"{seed}.log"
        searcher = TruthfulSearch(config, journal, lambda *ended: None)
        ours += last_proposals(searcher, crash_reported)
        theirs += last_proposals(stock(seed), crash_told_as_failed)
    chance = 3 * LAST / 4
    assert ours < chance / 2
    assert ours < theirs / 2


@pytest.mark.filterwarnings("ignore:Argument ``group``")
def test_nothing_of_a_searcher_is_pickled_whatever_its_space_holds(tmp_path):
    config = parse(SPACE.replace("SEED", "0"))
    searcher = TruthfulSearch(config, tmp_path / "journal.log", lambda *ended: None)
    searcher.save(str(tmp_path / "saved"))
    assert not (tmp_path / "saved").exists()
    assert pickle.loads(pickle.dumps(searcher)).__dict__ == {}
    with pytest.raises((AttributeError, pickle.PicklingError)):
        stock(0).save(str(tmp_path / "stock"))
