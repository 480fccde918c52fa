"""The contract of a hyper-parameter: reports and searches need nothing but its two fields."""

import contextlib

import pytest
from optuna.distributions import IntDistribution
from pydantic import ValidationError

from tlsearch.config.catalog import Direction
from tlsearch.config.space import Space
from tlsearch.config.trial_config import SHOWN, TrialConfig
from tlsearch.results.rank.importance import varied_parameters
from tlsearch.results.rank.leaderboard import COLUMN_HELP, rows
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report import glossary
from tlsearch.results.report.readable_table import LEAST_FIRST, readable_rows
from tlsearch.search.propose.optuna_space import distribution

NAMES = tuple(Space.model_fields)
PAIRS = (("strokes", "shapes"), (0.25, 0.5), (1, 2), (False, True), ((8,), (16,)))


def varied(name: str, layers: int) -> StudyRecord:
    """Return two trials that differ in one field only, with this many unfrozen layers."""
    for pair in PAIRS:
        with contextlib.suppress(ValidationError):
            trials = [
                TrialConfig(**{"backbone": "strokes", "unfrozen_layers": layers, name: value})
                for value in pair
            ]
            records = (
                TrialRecord(number, "finished", trial.to_json(), {1: 0.5})
                for number, trial in enumerate(trials)
            )
            return StudyRecord(Direction.MAX, tuple(records))
    raise AssertionError(f"add a pair of values that {name} takes to PAIRS")


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_has_the_hyper_parameter_and_says_how_it_is_shown(name: str) -> None:
    shown = SHOWN[name]
    assert shown.label
    assert COLUMN_HELP[name] == shown.help == glossary.of_column(name, "accuracy")
    assert (shown.label in LEAST_FIRST) == (shown.priority is not None)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_search_varies_is_reported(name: str) -> None:
    """A field that only some depths use is reported for those depths."""
    records = [varied(name, layers) for layers in (0, 5)]
    for record in records:
        table = rows(record)
        assert len({row[name] for row in table}) == 2
        assert SHOWN[name].label in readable_rows(table, "accuracy").columns
    assert any(name in varied_parameters(record) for record in records)


@pytest.mark.parametrize("name", NAMES)
def test_a_range_proposes_whole_numbers_exactly_where_trials_take_no_others(name: str) -> None:
    for low, high in ((0.25, 0.5), (1, 3)):
        with contextlib.suppress(ValidationError):
            space = Space(**{name: {"low": low, "high": high}})
            found = distribution(name, getattr(space, name))
            assert isinstance(found, IntDistribution) != takes(name, 0.25)
            assert takes(name, found.low)


def takes(name: str, value: object) -> bool:
    with contextlib.suppress(ValidationError):
        return bool(TrialConfig(**{"backbone": "strokes", "unfrozen_layers": 0, name: value}))
    return False


def test_the_priorities_leave_no_choice() -> None:
    labels = {one.label: one.priority for one in SHOWN.values() if one.priority is not None}
    assert len(set(labels.values())) == len(labels)
