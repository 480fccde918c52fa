"""One step of a trial's actor when something goes wrong, without TensorFlow and Ray."""

import math
from types import SimpleNamespace

import pytest

from tlsearch.base.errors import DataError
from tlsearch.search.propose.outcome import outcome_of
from tlsearch.search.propose.searcher import METRIC, TIME_ATTR
from tlsearch.search.trial.actor import TrialActor


def actor(error):
    """Return an actor whose next epoch raises this error."""

    def epochs():
        raise error
        yield

    made = TrialActor.__new__(TrialActor)
    made._epoch, made._seconds, made._started, made._last = 3, 1.0, 0.0, None
    made._saving_s, made._folder, made._number = 0.0, None, 7
    made._epochs, made._job, made._waits = epochs(), None, False
    made.workplace = SimpleNamespace(on_cluster=False)
    return made


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), MemoryError(), DataError("gone"), OSError(28, "full")]
)
def test_a_failure_is_a_result_with_every_key_that_tune_and_the_search_ask_for(error):
    result = actor(error).step()
    message = getattr(error, "strerror", None) or str(error) or type(error).__name__
    assert message in result["failure"]
    assert {METRIC, TIME_ATTR, "seconds", "failure", "failure_at", "fatal", "done"} <= set(result)
    assert (result[TIME_ATTR], result["done"]) == (3, True)
    assert math.isnan(result[METRIC])
    assert outcome_of(result, False, 10, None).state == "failed"


def test_what_ends_the_process_is_not_swallowed():
    with pytest.raises(SystemExit):  # Tune's STOP arrives as sys.exit(0)
        actor(SystemExit(0)).step()
    with pytest.raises(KeyboardInterrupt):
        actor(KeyboardInterrupt()).step()
