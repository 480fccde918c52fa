import errno
import os
import signal
import time

import pytest

from tlsearch.base.errors import SearchInterruptedError, StudyError
from tlsearch.search.ending import Ending, signals


def failure(where="ValueError at model.py:3", fatal=False):
    return {"failure": f"Traceback ... {where}", "failure_at": where, "fatal": fatal}


SOUND = {"failure": None}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_budget_ends_the_search_in_time():
    clock = Clock()
    ending = Ending(60, clock)
    assert not ending.stop_all()
    clock.now = 61
    assert ending.stop_all()
    assert ending.out_of_time
    assert ending.error is None


def test_a_budget_is_that_of_all_drivers():
    clock = Clock()
    ending = Ending(60, clock, spent_before_s=45)
    clock.now = 14
    assert not ending.stop_all()
    clock.now = 15
    assert ending.stop_all()
    assert ending.spent_s == 60


def test_a_budget_used_up_before_ends_the_search_at_once():
    ending = Ending(60, Clock(), spent_before_s=60)
    assert ending.stop_all()
    assert ending.out_of_time
    assert not ending.cut_short  # so that the best is exported


def test_time_spent_is_noted_now_and_then():
    clock, noted = Clock(), []
    ending = Ending(None, clock, spent_before_s=100)
    ending.keep_spent(noted.append)
    for _ in range(35):
        clock.now += 1
        ending.stop_all()
    assert noted == [110, 120, 130]
    ending.note_spent()
    assert noted[-1] == 135


def test_a_clock_that_jumps_ends_nothing_and_spends_nothing(monkeypatch):
    ending = Ending(3600)
    for hours in (-5, 5, 50):
        monkeypatch.setattr(time, "time", lambda now=hours: 1e9 + now * 3600)
        assert not ending.stop_all()
    assert ending.spent_s < 60


def test_three_first_failures_alike_end_the_study_with_their_traceback():
    ending = Ending(None)
    for _ in range(2):
        ending("a", failure())
        assert not ending.stop_all()
    ending("a", failure())
    assert ending.stop_all()
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
    ending = Ending(None)
    for result in results:
        ending("a", result)
    assert not ending.stop_all()


def test_what_no_other_trial_can_do_better_ends_the_study_at_once():
    ending = Ending(None)
    ending("a", SOUND)
    ending("b", failure("no such weight file", fatal=True))
    assert ending.stop_all()


@pytest.mark.parametrize(
    ("kind", "code"), [("WeightsError", 3), ("ConfigError", 2), ("StudyError", 1), ("Odd", 1)]
)
def test_what_a_worker_raised_keeps_its_words_and_exit_code(kind, code):
    ending = Ending(None)
    ending("a", {"failure": "no such file", "failure_at": kind, "fatal": True})
    assert str(ending.error) == "no such file"
    assert ending.error.exit_code == code


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_search_and_a_second_one_at_once(number, code):
    ending = Ending(None)
    before = signal.signal(number, signal.SIG_DFL)  # a shell may have it ignored
    try:
        with signals(ending):
            os.kill(os.getpid(), number)
            assert ending.stop_all()
            assert isinstance(ending.interrupted, SearchInterruptedError)
            assert ending.interrupted.exit_code == code
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_hangup_that_is_ignored_stays_ignored():
    ending, before = Ending(None), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals(ending):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not ending.stop_all()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_full_disk_ends_the_search_with_the_file():
    ending = Ending(None)
    with ending.on_full_disk():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "study/journal.log")
    assert ending.stop_all()
    assert ending.error.exit_code == 3
    assert str(ending.error).startswith("study/journal.log: No space left on device; ")


def test_an_error_that_says_nothing_of_a_disk_goes_on():
    ending = Ending(None)
    with pytest.raises(ConnectionError), ending.on_full_disk():
        raise ConnectionError(errno.ECONNRESET, "reset")
    assert not ending.stop_all()


def test_a_perfect_trial_ends_the_search_and_its_winner_is_exported():
    ending = Ending(None)
    ending.suffice("trial 3 reached 1")
    ending.suffice("trial 4 reached 1")
    assert ending.stop_all()
    assert ending.enough == "trial 3 reached 1"
    assert not ending.cut_short


def test_an_interrupted_search_names_the_command_that_goes_on():
    ending = Ending(None, place="'/runs/my pets'")
    ending.interrupt()
    assert str(ending.interrupted) == "interrupted; `tlsearch resume '/runs/my pets'` goes on"
