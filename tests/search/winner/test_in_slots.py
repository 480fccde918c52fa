"""The runs after the trials, as Ray Tune requests them: stage by stage, and each once."""

import json
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from ray.tune.search import Searcher

from tlsearch.base.errors import RecordError
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import Run
from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending
from tlsearch.search.stopper import SearchStopper
from tlsearch.search.trial.actor import AGAIN, TRAINED
from tlsearch.search.winner.confirm import Stage
from tlsearch.search.winner.in_slots import FollowedSearch
from tlsearch.search.winner.rounds import PlannedRun


class Trials(Searcher):
    """A searcher of this many trials, which all begin at once."""

    def __init__(self, count):
        super().__init__(metric="value", mode="max")
        self.left, self.running, self.ended = count, set(), []

    def suggest(self, trial_id):
        if not self.left:
            return None if self.running else Searcher.FINISHED
        self.left -= 1
        self.running.add(trial_id)
        return {"number": trial_id}

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.running.remove(trial_id)
        self.ended.append(trial_id)


def planned(seed):
    return PlannedRun(seed, TrialConfig(backbone="strokes", seed=seed))


def last_result(config):
    """Return the last result of a trial or a run, as an actor reports it."""
    if AGAIN not in config:
        return {"value": 0.5}
    job = PlannedRun.of_text(config[AGAIN])
    return {TRAINED: json.dumps(Run(job.number, job.trial.seed, 0.5, 1, 1.0).to_json())}


@given(
    trials=st.integers(0, 4),
    sizes=st.lists(st.integers(1, 4), max_size=3),
    room=st.integers(1, 3),
    lost=st.sets(st.integers(0, 11)),
    order=st.randoms(use_true_random=False),
)
def test_runs_come_after_all_trials_stage_by_stage_and_each_is_kept_once(
    trials, sizes, room, lost, order
):
    kept, asked, inner = [], [], Trials(trials)
    jobs = iter(range(sum(sizes)))

    def stages(slots):
        assert (slots, inner.left, inner.running) == (room, 0, set())
        for size in sizes:
            stage = [next(jobs) for _ in range(size)]
            asked.append(stage)
            yield Stage([planned(n) for n in stage], lambda run: kept.append(run.seed))

    search = FollowedSearch(inner, stages, lambda: room, Ending())
    running, over, number = {}, False, 0
    while running or not over:
        number += 1
        config = None if over else search.suggest(str(number))
        over = over or config == Searcher.FINISHED
        if isinstance(config, dict):
            running[str(number)] = config
        runs = [one for one in running.values() if AGAIN in one]
        assert len(runs) <= room
        assert not runs or {one["number"] for one in runs} <= {*asked[-1]}
        if running and (config is None or over or order.random() < 0.5):
            trial_id = order.choice(sorted(running))
            ends = running.pop(trial_id)
            fails = AGAIN in ends and ends["number"] in lost
            search.on_trial_complete(trial_id, None if fails else last_result(ends), error=fails)
    assert sorted(kept) == sorted({*range(sum(sizes))} - lost)
    assert len(inner.ended) == trials
    assert search.complete == (not lost & {*range(sum(sizes))})


def test_what_stands_against_a_stage_ends_the_search_with_its_words():
    def stages(slots):
        raise RecordError("the weights are others")
        yield

    ending = Ending()
    search = FollowedSearch(Trials(0), stages, lambda: 1, ending)
    assert search.suggest("1") == Searcher.FINISHED
    assert str(ending.error) == "the weights are others"
    assert not search.complete


def test_a_stage_that_is_cut_short_is_closed():
    closed = []

    def stages(slots):
        try:
            yield Stage([planned(1)], closed.append)
        finally:
            closed.append("stage")

    search = FollowedSearch(Trials(0), stages, lambda: 1, Ending())
    search.suggest("1")
    search.close()
    assert closed == ["stage"]
    assert not search.complete


def test_a_run_is_the_same_after_its_way_as_text(tmp_path):
    trial = TrialConfig(backbone="strokes", head_units=(64, 32), unfrozen_layers="all")
    for job in (
        PlannedRun(3, trial, 1.5),
        PlannedRun(3, trial, start=tmp_path / "x.npz", limit_s=2.5, network="ab"),
    ):
        assert PlannedRun.of_text(job.to_text()) == job


def test_all_of_the_budget_is_left_to_what_follows_the_trials():
    clock = SimpleNamespace(now=0.0)
    ending, budget = Ending(), Budget(91, confirms=True, clock=lambda: clock.now)
    stopper = SearchStopper(ending, budget)
    clock.now = 80
    assert budget.used_up
    budget.end_trials()
    assert not stopper.stop_all()
    clock.now = 91
    assert stopper.stop_all()
    assert not ending.out_of_time  # the trials were not cut short
