import errno
import os
import signal
import time

import pytest

from tlsearch.base.errors import SearchInterruptedError, StudyError
from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending, Failures, end_on_signals
from tlsearch.search.stopper import SearchStopper


def failure(where="ValueError at model.py:3", fatal=False):
    return {"failure": f"Traceback ... {where}", "failure_at": where, "fatal": fatal}


SOUND = {"failure": None}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def limited(seconds=None, **known):
    """Return a stopper, its ending and its clock."""
    clock, ending = Clock(), Ending()
    return SearchStopper(ending, Budget(seconds, clock=clock, **known)), ending, clock


def test_a_budget_ends_the_search_in_time():
    stopper, ending, clock = limited(60)
    assert not stopper.stop_all()
    clock.now = 61
    assert stopper.stop_all()
    assert ending.out_of_time
    assert ending.error is None


def test_a_budget_is_that_of_all_drivers():
    clock = Clock()
    budget = Budget(60, spent_before_s=45, clock=clock)
    clock.now = 14
    assert not budget.used_up
    clock.now = 15
    assert budget.used_up
    assert budget.spent_s == 60


def test_a_budget_used_up_before_ends_the_search_at_once():
    stopper, ending, _ = limited(60, spent_before_s=60)
    assert stopper.stop_all()
    assert ending.out_of_time
    assert not ending.cut_short  # so that the best is exported


def test_time_spent_is_noted_now_and_then():
    clock, noted = Clock(), []
    stopper = SearchStopper(Ending(), Budget(spent_before_s=100, clock=clock), noted.append)
    for _ in range(35):
        clock.now += 1
        stopper.stop_all()
    assert noted == [{"spent_s": seconds} for seconds in (110, 120, 130)]
    stopper.note_spent()
    assert noted[-1] == {"spent_s": 135}


def test_a_clock_that_jumps_ends_nothing_and_spends_nothing(monkeypatch):
    budget = Budget(3600)
    for hours in (-5, 5, 50):
        monkeypatch.setattr(time, "time", lambda now=hours: 1e9 + now * 3600)
        assert not budget.used_up
    assert budget.spent_s < 60


def test_three_first_failures_alike_end_the_study_with_their_traceback():
    stopper, ending, _ = limited()
    for _ in range(2):
        stopper("a", failure())
        assert not stopper.stop_all()
    stopper("a", failure())
    assert stopper.stop_all()
    assert isinstance(ending.error, StudyError)
    assert "Traceback ... ValueError at model.py:3" in str(ending.error)


@pytest.mark.parametrize(
    "results",
    [
        [failure(), failure(), failure("KeyError at other.py:9")],
        [SOUND, failure(), failure(), failure()],
        [failure(), SOUND, failure(), failure()],
    ],
)
def test_other_failures_do_not(results):
    failures = Failures()
    assert [failures.take(result) for result in results] == [None] * len(results)


def test_what_no_other_trial_can_do_better_ends_the_study_at_once():
    stopper, _, _ = limited()
    stopper("a", SOUND)
    stopper("b", failure("no such weight file", fatal=True))
    assert stopper.stop_all()


@pytest.mark.parametrize(
    ("kind", "code"), [("WeightsError", 3), ("ConfigError", 2), ("StudyError", 1), ("Odd", 1)]
)
def test_what_a_worker_raised_keeps_its_words_and_exit_code(kind, code):
    error = Failures().take({"failure": "no such file", "failure_at": kind, "fatal": True})
    assert str(error) == "no such file"
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_search_and_a_second_one_at_once(number, code):
    ending = Ending()
    before = signal.signal(number, signal.SIG_DFL)  # the shell may have set it to ignored
    try:
        with end_on_signals(ending):
            os.kill(os.getpid(), number)
            assert ending.over
            assert isinstance(ending.interrupted, SearchInterruptedError)
            assert ending.interrupted.exit_code == code
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_hangup_that_is_ignored_stays_ignored():
    ending, before = Ending(), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with end_on_signals(ending):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not ending.over
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_full_disk_ends_the_search_with_the_file():
    ending = Ending()
    with ending.on_disk_error():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "study/journal.log")
    assert ending.over
    assert ending.error.exit_code == 3
    assert str(ending.error).startswith("study/journal.log: No space left on device; ")


def test_an_error_that_says_nothing_of_a_disk_goes_on():
    ending = Ending()
    with pytest.raises(ConnectionError), ending.on_disk_error():
        raise ConnectionError(errno.ECONNRESET, "reset")
    assert not ending.over


def test_a_perfect_trial_ends_the_search_and_its_winner_is_exported():
    ending = Ending()
    ending.end_as_perfect("trial 3 reached 1")
    ending.end_as_perfect("trial 4 reached 1")
    assert ending.over
    assert ending.enough == "trial 3 reached 1"
    assert not ending.cut_short


def test_an_interrupted_search_names_the_command_that_goes_on():
    ending = Ending(location="'/runs/my pets'")
    ending.interrupt()
    assert str(ending.interrupted) == "interrupted; `tlsearch resume '/runs/my pets'` continues it"
