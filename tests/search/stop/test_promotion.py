"""Promotion-style ASHA: the rungs alone, then with the searcher, which parks trials unreported."""

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from tlsearch.config.catalog import Direction
from tlsearch.config.load import parse
from tlsearch.results.record.journal import read_journal
from tlsearch.search.propose.searcher import TruthfulSearch
from tlsearch.search.stop.rules import Promoting
from tlsearch.search.stop.rungs import Rungs

EPOCHS = 18
law = settings(deadline=None, max_examples=60)  # the machine may be busy
SPACE = """
data: {kind: digits}
space: {backbone: [strokes, photos], unfrozen_layers: [0, 15, all]}
scheduler: promotion
epochs: 18
"""


def rungs(direction=Direction.MAX):
    return Rungs(Promoting(direction, (2, 6), 3, trials=30))


class Search:
    """A search with slots and no Ray, which does what Ray's controller would do, in its order."""

    def __init__(self, journal, trials, value, slots=2, ended=None):
        config = parse(SPACE, settings=[f"trials={trials}"])
        self.ended = [] if ended is None else ended
        self.searcher = TruthfulSearch(config, journal, lambda one, record: self.ended.append(one))
        self.value, self.slots = value, slots
        self.running, self.count, self.begun, self.over = {}, 0, [], False

    def fill(self):
        while len(self.running) < self.slots and not self.over:
            self.count += 1
            proposal = self.searcher.suggest(f"ray-{self.count}")
            if proposal is None:
                return
            if proposal == "FINISHED":
                self.over = True
                return
            self.begun.append(proposal["number"])
            done = self.searcher.record().trials[proposal["number"]].epochs
            self.running[f"ray-{self.count}"] = [proposal["number"], done]

    def step(self):
        """Train one epoch of the trial that has run longest, and handle its result."""
        self.fill()
        if not self.running:
            return
        trial_id, (number, epoch) = next(iter(self.running.items()))
        del self.running[trial_id]
        epoch += 1
        result = {"epoch": epoch, "value": self.value(number, epoch), "seconds": 1.0 * epoch}
        result |= {"diverged": math.isnan(result["value"]), "failure": None, "pid": 7}
        over = epoch == EPOCHS or result["diverged"]
        if over or not self.searcher.take(trial_id, result):
            self.searcher.on_trial_complete(trial_id, result)
        else:
            self.running[trial_id] = [number, epoch]

    def run(self, steps=10_000):
        for _ in range(steps):
            if self.over:
                return self
            self.step()
        return self


def skill(number, epoch):
    """Return a value that differs between trials and grows with the epoch."""
    return random.Random(number).random() + epoch / 1000


@law
@given(st.lists(st.floats(0, 1), max_size=30), st.sampled_from(Direction))
def test_only_the_top_third_ever_leaves_a_rung(values, direction):
    found, left = rungs(direction), set()
    for number, value in enumerate(values):
        if not found.take(number, 2, value, {}).stopped:
            left.add(number)
        while (due := found.promote()) is not None:
            left.add(due)
        best = sorted(
            range(number + 1), key=lambda n: values[n], reverse=direction is Direction.MAX
        )
        third = (number + 1) // 3
        worst = values[best[third - 1]] if third else None
        top = {n for n in best[:third] if values[n] != worst}
        assert top <= left
        assert set(found.parked) | left == set(range(number + 1))
        assert third == 0 or not direction.better(values[number], worst) or number in left


def gone_on(values, direction, early):
    """Return the trials that leave the first rung, with hopeless ones dismissed early or not."""
    found = Rungs(Promoting(direction, (2, 6), 3, trials=len(values)))
    left = []
    for number, value in enumerate(values):
        if not found.take(number, 2, value, {}).stopped:
            left.append(number)
        if early:
            found.dismiss()
    while (due := found.promote(at_least=1)) is not None:
        left.append(due)
    return left


@law
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.sampled_from(Direction))
def test_those_dismissed_early_would_never_have_gone_on(values, direction):
    assert gone_on(values, direction, early=True) == gone_on(values, direction, early=False)


def test_the_first_at_a_rung_waits_where_asha_would_let_it_go_on():
    assert rungs().take(0, 2, 0.9, {}).stopped


def test_a_search_ends_with_every_trial_told_once(tmp_path):
    search = Search(tmp_path / "journal.log", 20, skill).run()
    assert search.over
    assert sorted(trial.number for trial in search.ended) == list(range(20))
    trials = read_journal(tmp_path / "journal.log").trials
    assert {trial.state for trial in trials} == {"finished", "stopped"}
    best = max(range(20), key=lambda n: skill(n, 0))
    assert trials[best].state == "finished"
    for trial in trials:
        assert set(trial.values) == set(range(1, trial.epochs + 1))
        assert trial.seconds == trial.epochs
        assert trial.state == "finished" or f"at rung {trial.epochs}" in trial.reason


def test_the_reason_names_place_and_cutoff(tmp_path):
    Search(tmp_path / "journal.log", 6, lambda number, epoch: number / 10).run()
    reasons = [trial.reason for trial in read_journal(tmp_path / "journal.log").trials]
    assert reasons[0] == "stopped at epoch 2: 0 < 0.3, place 4 of 4 at rung 2"  # at most two go on


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_the_best_of_few_is_trained_to_its_last_epoch(tmp_path, trials):
    Search(tmp_path / "journal.log", trials, lambda number, epoch: number / 10).run()
    record = read_journal(tmp_path / "journal.log").trials
    assert [trial.epochs for trial in record] == [2] * (trials - 1) + [EPOCHS]


def test_of_equals_the_earlier_is_promoted_and_the_other_told_so(tmp_path):
    Search(tmp_path / "journal.log", 3, lambda number, epoch: 0.5).run()
    first, *others = read_journal(tmp_path / "journal.log").trials
    assert first.state == "finished"
    assert others[0].reason == "stopped at epoch 2: 0.5 = 0.5, place 2 of 2 at rung 2"


def test_it_spends_less_than_stopping_would_on_the_first_ones(tmp_path):
    Search(tmp_path / "journal.log", 9, lambda number, epoch: (9 - number) / 10).run()
    epochs = [trial.epochs for trial in read_journal(tmp_path / "journal.log").trials]
    assert epochs == [18, 6, 6, 2, 2, 2, 2, 2, 2]


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 60))
def test_a_search_killed_anywhere_ends_as_it_would_have(tmp_path_factory, steps):
    """With one slot, the order of events does not depend on when the search was killed."""
    folder = tmp_path_factory.mktemp("studies")
    ended = []
    Search(folder / "journal.log", 8, skill, slots=1, ended=ended).run(steps)
    Search(folder / "journal.log", 8, skill, slots=1, ended=ended).run()
    Search(folder / "unbroken.log", 8, skill, slots=1).run()
    assert sorted(trial.number for trial in ended) == list(range(8))
    assert outcomes(folder / "journal.log") == outcomes(folder / "unbroken.log")


def outcomes(journal):
    return {t.number: (t.state, dict(t.values)) for t in read_journal(journal).trials}


def test_the_sampler_learns_from_what_waits_also_after_a_restart(tmp_path):
    journal = tmp_path / "journal.log"
    before = Search(journal, 12, skill).run(steps=20)
    after = Search(journal, 12, skill)
    parked = before.searcher._rungs.parked
    known = {trial.number: trial.values for trial in read_journal(journal).trials}
    assert parked
    for search in (before, after):
        seen = search.searcher._window.refresh()._get_trials(states=(TrialState.PRUNED,))
        values = {trial.number: trial.intermediate_values for trial in seen}
        assert {n: known[n] for n in parked} == {n: values[n] for n in parked}


def test_a_diverged_trial_is_told_at_once(tmp_path):
    def value(number, epoch):
        return math.nan if number == 1 else skill(number, epoch)

    search = Search(tmp_path / "journal.log", 6, value).run()
    (diverged,) = [trial for trial in search.ended if trial.state == "diverged"]
    assert diverged.number == 1
    assert sorted(trial.number for trial in search.ended) == list(range(6))


def test_a_promoted_trial_is_the_one_that_waited(tmp_path):
    search = Search(tmp_path / "journal.log", 12, skill, slots=1)
    configs = {}
    suggest = search.searcher.suggest

    def noted(trial_id):
        proposal = suggest(trial_id)
        if isinstance(proposal, dict):
            configs.setdefault(proposal["number"], set()).add(json.dumps(proposal["trial"]))
        return proposal

    search.searcher.suggest = noted
    search.run()
    assert len(search.begun) > 12
    assert all(len(seen) == 1 for seen in configs.values())
