"""The trials that TPE sees: all of a small study, a bounded part of a large one, with the best."""

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import TrialState, create_trial

from tlsearch.search.propose.tpe_window import BEST, Window, as_pruned, tpe

STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)
SEEN = STATES[:3]
drawn = st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 9)), max_size=60)
RATE = optuna.distributions.FloatDistribution(0.0, 1.0)


def study_of(trials) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=tpe(0))
    for state, value in trials:
        final = value if state == TrialState.COMPLETE else None
        study.add_trial(
            create_trial(
                state=state,
                value=final,
                params={"rate": value / 10},
                distributions={"rate": RATE},
                intermediate_values={1 + value % 2: value},
            )
        )
    return study


def numbers(trials) -> list[int]:
    return [trial.number for trial in trials]


@settings(deadline=None)
@given(drawn, st.integers(60, 80))
def test_a_study_below_the_bound_is_seen_whole(trials, newest) -> None:
    study = study_of(trials)
    seen = Window(study, newest).refresh()
    for states in (None, SEEN, SEEN[:2], (TrialState.RUNNING,)):
        whole = study._get_trials(False, states or SEEN)
        assert numbers(seen._get_trials(False, states)) == numbers(whole)


@settings(deadline=None)
@given(drawn, st.integers(1, 9))
def test_beyond_it_the_best_stay_and_the_number_is_bounded(trials, newest) -> None:
    study = study_of(trials)
    seen = Window(study, newest).refresh()._get_trials()
    best = _split_trials(study, study._get_trials(False, SEEN[:2]), BEST)[0]
    assert {*numbers(best)} <= {*numbers(seen)}
    assert len(seen) <= BEST + 2 * newest
    assert numbers(seen) == sorted(numbers(seen))
    for states in (SEEN[:2], SEEN[2:]):
        of_it = numbers(study._get_trials(False, states))
        assert {*of_it[-newest:]} <= {*numbers(seen)}


@settings(deadline=None)
@given(drawn, st.integers(1, 9), st.randoms(use_true_random=False))
def test_the_order_in_which_trials_end_does_not_matter(trials, newest, random) -> None:
    study = study_of(trials)
    late = Window(study_of([]), newest)
    ends = study.get_trials(deepcopy=False)
    random.shuffle(ends)
    for trial in ends:
        late.take(trial)
    early = Window(study, newest)
    assert (numbers(late._best), numbers(late._ended)) == (
        numbers(early._best),
        numbers(early._ended),
    )


def test_a_trial_that_waits_counts_with_its_last_value_until_its_end_replaces_it() -> None:
    study = study_of([(TrialState.COMPLETE, 1)])
    window, trial = Window(study), study.ask()
    trial.report(0.5, 2)
    for state, known in ((TrialState.PRUNED, as_pruned), (TrialState.COMPLETE, lambda one: one)):
        if state == TrialState.COMPLETE:
            study.tell(trial, 0.9)
        window.take(known(study.trials[1]))
        assert [one.state for one in window.refresh()._get_trials()] == [TrialState.COMPLETE, state]
    assert study.trials[1].state == TrialState.COMPLETE


def test_a_seed_proposes_the_same_below_the_bound_and_learns_above_it() -> None:
    trials = [(TrialState.COMPLETE, value % 10) for value in range(40)]
    study = study_of(trials)

    def proposals(seen):
        sampler, trial = tpe(3), study.trials[0]
        return [sampler.sample_independent(seen, trial, "rate", RATE) for _ in range(20)]

    assert proposals(Window(study, 40).refresh()) == proposals(study)
    bounded = proposals(Window(study, 15).refresh())
    assert bounded != proposals(study)
    assert sum(rate > 0.5 for rate in bounded) > 14  # 10 by chance; the best lie at 0.9
