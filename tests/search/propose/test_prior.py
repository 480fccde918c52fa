"""The prior proposes first, then less and less often, the same for every driver, and on record."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from epoch_results import result
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.catalog import BACKBONES
from tlsearch.config.load import parse
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.record.journal import read_journal
from tlsearch.search.propose import prior
from tlsearch.search.propose.first_trials import first_trials
from tlsearch.search.propose.learn_prior import NETWORKS, as_trial, fit, ranks, save
from tlsearch.search.propose.prior import (
    FIRST,
    Sizes,
    diversified,
    features,
    has_turn,
    load_shipped,
)
from tlsearch.search.propose.searcher import TruthfulSearch

SPACE = """
data: {kind: digits}
space:
  backbone: [mobilenet_v2_035, mobilenet, mobilenet_v2]
  unfrozen_layers: [0, 15, all]
  dropout: {low: 0.0, high: 0.5}
epochs: 6
trials: 60
prior: auto
"""
SIZES = Sizes(images=400, classes=5)


@pytest.fixture
def search(tmp_path):
    def build(text=SPACE, name="journal.log", **changes):
        config = parse(text, settings=[f"{key}={value}" for key, value in changes.items()])
        return TruthfulSearch(config, tmp_path / name, lambda *ended: None, sizes=SIZES)

    return build


def run(search, count, value=lambda trial: 0.5, first=0):
    proposed = []
    for place in range(first, first + count):
        trial = search.suggest(str(place))["trial"]
        proposed.append(trial)
        search.on_trial_complete(str(place), result(6, value(trial)))
    return proposed


def by_prior(search):
    return [trial.number for trial in search.record().trials if trial.by_prior]


@given(st.integers(FIRST, 10**6))
def test_the_share_of_the_prior_goes_to_0(trials):
    expected = FIRST * (1 + np.log(trials / FIRST) / 2)
    turns = sum(has_turn(number) for number in range(min(trials, 3000)))
    assert turns <= expected + 1
    assert all(has_turn(number) for number in range(FIRST))


def test_the_prior_proposes_in_its_turns_and_the_record_says_so(search, tmp_path):
    begun = search()
    proposed = run(begun, 30)
    turns = [number for number in range(30) if has_turn(number)]
    assert by_prior(begun) == turns
    assert [t.number for t in read_journal(tmp_path / "journal.log").trials if t.by_prior] == turns
    assert len({json.dumps(trial, sort_keys=True) for trial in proposed}) == 30


def test_without_it_everything_is_as_it_was(search, tmp_path):
    off = run(search(prior="off"), 12)
    config = parse(SPACE, settings=["prior=off"])
    stock = TruthfulSearch(config, tmp_path / "stock.log", lambda *ended: None)
    assert run(stock, 12) == off
    assert by_prior(stock) == []


@pytest.mark.parametrize("choice", ["space.backbone=[mobilenet_v2, strokes]", "space.weights=none"])
def test_networks_without_a_published_accuracy_are_left_to_the_sampler(search, choice):
    name, _, value = choice.partition("=")
    begun = search(**{name: value})
    assert run(begun, 3) == run(search(name="off.log", prior="off", **{name: value}), 3)
    assert by_prior(begun) == []


def test_a_resumed_search_goes_on_with_the_priors_points(search):
    unbroken = run(search(name="one.log"), FIRST)
    before = run(search(), 4)
    after = run(search(), FIRST - 4, first=4)
    assert before + after == unbroken


def test_baselines_come_before_the_prior(search):
    baseline = {"backbone": "mobilenet", "unfrozen_layers": 0, "head_lr": 0.01, "dropout": 0.25}
    begun = search(baselines=f"[{json.dumps(baseline)}]")
    (first, _) = run(begun, 2)
    assert {name: first[name] for name in baseline} == baseline
    assert by_prior(begun) == [1]


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_nth_best_of_a_kind_counts_with_an_nth_of_its_gain(points):
    merits, kinds = np.array([merit for merit, _ in points]), [kind for _, kind in points]
    order = [points[number] for number in diversified(merits, kinds)]
    assert sorted(order) == sorted(points)
    seen, left = Counter(), []
    for merit, kind in order:
        seen[kind] += 1
        left.append(merit - math.log(seen[kind]))
    assert left == sorted(left, reverse=True)
    for kind in seen:
        own = [merit for merit, other in order if other == kind]
        assert own == sorted(own, reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_trials_of_the_prior_are_of_every_kind(search, seed):
    proposed = run(search(**{"space.backbone": "[mobilenet_v2, mobilenet]", "seed": seed}), FIRST)
    kinds = Counter((trial["backbone"], trial["unfrozen_layers"]) for trial in proposed)
    assert len(kinds) == 6
    assert max(kinds.values()) <= FIRST / 2


@pytest.mark.parametrize("prior", ["auto", "off"])
@pytest.mark.parametrize("slots", [1, 3])
def test_the_first_trials_are_known_before_the_search(search, prior, slots):
    baseline = {"backbone": "mobilenet", "unfrozen_layers": 0, "head_lr": 0.01, "dropout": 0.25}
    changes = {"prior": prior, "seed": 7, "baselines": f"[{json.dumps(baseline)}]"}
    config = parse(SPACE, settings=[f"{key}={value}" for key, value in changes.items()])
    known, begun, proposed = first_trials(config, SIZES, slots), search(**changes), []
    for number in range(len(known)):
        if number >= slots:
            begun.on_trial_complete(str(number - slots), result(6, number / 100))
        proposed.append(begun.suggest(str(number))["trial"])
    assert [trial.to_json() for trial in known] == proposed
    assert len(known) == (20 if prior == "auto" else 10) + slots - 1


def test_an_exhausted_space_is_left_to_the_sampler(search):
    small = SPACE.replace("low: 0.0, high: 0.5", "low: 0.0, high: 0.5, step: 0.5")
    rates = {"space.head_lr": 0.01, "space.fine_tune_lr": 0.001}
    begun = search(small, **rates)
    run(begun, 25)
    assert 0 < len(by_prior(begun)) <= 3 * 3 * 2


def good(trial):
    """Score a trial: mobilenet is better, and so are more unfrozen layers and less dropout."""
    depth = {0: 0.0, 15: 0.3}.get(trial["unfrozen_layers"], 0.5)
    return (trial["backbone"] == "mobilenet") * 0.3 + depth - trial["dropout"] * 0.2


@pytest.mark.parametrize("seed", [0, 16])
def test_a_prior_that_is_wrong_does_no_harm_in_the_end(tmp_path, monkeypatch, seed):
    """The prior proposes the worst trials of all; TPE finds the best region all the same."""

    def worst_first(points, sizes):
        order = sorted(points, key=lambda point: good(point.trial.to_json()))
        return [replace(point, by_prior=True) for point in order]

    monkeypatch.setattr(prior, "best_first", worst_first)
    config = parse(SPACE, settings=[f"seed={seed}"])
    misled = TruthfulSearch(config, tmp_path / "journal.log", lambda *ended: None, sizes=SIZES)
    found = [good(trial) for trial in run(misled, 60, good)]
    assert max(found[:FIRST]) < 0.1
    assert max(found) > 0.75  # of at most 0.8


def test_a_learned_function_ranks_new_rows_as_its_targets():
    draws = np.random.default_rng(0)
    rows, new = draws.uniform(size=(200, 4)), draws.uniform(size=(50, 4))
    whole, compact = fit(rows, ranks(rows[:, 0])), fit(rows, ranks(rows[:, 0]), centres=100)
    for found in (whole, compact):
        assert np.corrcoef(found.predict(new), new[:, 0])[0, 1] > 0.9
    assert not any((centre == row).all() for centre in compact.centres for row in rows)


def test_a_learned_function_is_read_back_as_it_was_and_says_nothing_new_outside(
    tmp_path, monkeypatch
):
    rows = np.random.default_rng(0).normal(size=(100, 15))
    learned = fit(rows, ranks(rows[:, 0]), centres=50)
    save(learned, tmp_path / "prior.npz")
    monkeypatch.setattr(prior, "FILE", tmp_path / "prior.npz")
    back = load_shipped.__wrapped__()
    assert np.allclose(back.predict(rows), learned.predict(rows), atol=1e-3)
    beyond, absent = np.full((1, 15), 1e6), np.full((1, 15), np.nan)
    assert np.allclose(back.predict(beyond), back.predict(back.high[None]))
    assert np.allclose(back.predict(absent), back.predict(back.low[None]))


def test_the_shipped_prior_is_small_and_judges_the_whole_catalogue():
    assert prior.FILE.stat().st_size < 2**20
    for row in BACKBONES.values():
        px = row.max_px or max(row.image_px, row.min_px)
        trial = TrialConfig(backbone=row.name, fine_tune_lr=1e-3, unfrozen_layers=5, image_px=px)
        [gain] = load_shipped().predict(np.array([features(trial, SIZES)]))
        assert -0.5 < gain < 1.5, row.name
        assert math.isfinite(prior.log_cost(trial))


def test_an_accuracy_counts_only_for_the_weights_it_was_published_of():
    def accuracy(**chosen):
        return features(TrialConfig(head_lr=0.01, **chosen), SIZES)[9]

    assert accuracy(backbone="mobilenet_v2") == BACKBONES["mobilenet_v2"].published.top1
    assert math.isnan(accuracy(backbone="mobilenet_v2", weights="my.weights.h5"))
    assert math.isnan(accuracy(backbone="photos"))


def test_a_recorded_network_that_is_not_known_is_described_without_its_numbers():
    config = {"lr": 0.1, "batch_size": 8, "pct_to_freeze": 0.5, "drop": 0, "weight_decay": 0}
    config |= {"smoothing": 0, "opt": "sgd", "sched": "step"}
    known = as_trial(config | {"model": next(iter(NETWORKS))}, 400, 5)
    assert np.isnan(as_trial(config | {"model": "other"}, 400, 5)).sum() == 2
    assert np.isfinite(known).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_ranks_are_shares_that_are_beaten(values):
    found = ranks(np.array(values, dtype=float))
    assert abs(found.mean() - 0.5) < 1e-9
    assert (np.argsort(found, kind="stable") == np.argsort(values, kind="stable")).all()
