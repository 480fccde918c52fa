"""An event costs as much in a large study as in a small one; the tests count calls, not time."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import pytest
from epoch_results import result

from tlsearch.config.load import parse
from tlsearch.search.propose import searcher
from tlsearch.search.propose.searcher import TruthfulSearch
from tlsearch.search.propose.tpe_window import Window
from tlsearch.search.stop.rules import rule_of
from tlsearch.search.stop.rungs import Rungs

SPACE = """
data: {kind: digits}
space:
  backbone: [strokes, photos]
  unfrozen_layers: [0, 15]
  head_lr: {low: 1e-4, high: 1e-2, log: true}
  fine_tune_lr: {low: 1e-4, high: 1e-2, log: true}
epochs: 6
trials: 10000
"""
LARGE = 150
SMALL, LARGEST = range(40, 46), range(144, 150)  # the trials whose work is counted


def calls(function: Callable[[], object]) -> int:
    """Return how many functions, in Python and C, a call runs."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def one_trial(search: TruthfulSearch, number: int) -> None:
    name = str(number)
    search.suggest(name)
    search.take(name, result(1, number % 7 / 10))
    search.on_trial_complete(name, result(2, number % 5 / 10))


def test_a_trial_costs_no_more_in_a_larger_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "Window", partial(Window, newest=10))
    search = TruthfulSearch(parse(SPACE), tmp_path / "journal.log", lambda *ended: None)
    counted = {
        number: calls(partial(one_trial, search, number))
        for number in range(LARGE)
        if number in SMALL or number in LARGEST or one_trial(search, number)
    }
    assert median(counted[n] for n in LARGEST) < 1.2 * median(counted[n] for n in SMALL)


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median", "promotion"])
def test_a_rules_answer_costs_no_more_in_a_larger_study(kind: str) -> None:
    rungs = Rungs(rule_of(parse(SPACE, settings=[f"scheduler={kind}"])))

    def one(number: int) -> None:
        value = number * 37 % 101 / 101
        rungs.take(number, 1, value, {})
        rungs.take(number, 2, value, {1: value})
        rungs.promote()

    counted = {number: calls(partial(one, number)) for number in range(LARGE)}
    assert median(counted[n] for n in LARGEST) < 1.2 * median(counted[n] for n in SMALL)
