"""The rows that a filter keeps; a filter's text is never executed."""

import re

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.results.rank.leaderboard import COLUMNS
from tlsearch.results.report.selection import LONGEST_FILTER, Selection, parse_columns, parse_filter

NOTHING = dict.fromkeys(COLUMNS)
TABLE = [
    {**NOTHING, "trial": 0, "backbone": "photos", "metric": 0.9, "unfrozen_layers": 15},
    {**NOTHING, "trial": 1, "backbone": "strokes", "metric": 0.8, "unfrozen_layers": "all"},
    {**NOTHING, "trial": 2, "backbone": "photos", "metric": None, "unfrozen_layers": 0},
]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("backbone == 'photos'", [0, 2]),
        ("backbone != 'photos'", [1]),
        ("metric > 0.85", [0]),
        ("metric >= -1", [0, 1]),
        ("metric == none", [2]),
        ("metric == None or metric < 0.85", [1, 2]),
        ("unfrozen_layers < 20", [0, 2]),
        ("unfrozen_layers == 'all'", [1]),
        ("unfrozen_layers in [0, 'all']", [1, 2]),
        ("trial not in (0, 1)", [2]),
        ("not backbone == 'photos'", [1]),
        ("backbone == 'photos' and (trial == 2 or trial == 1)", [2]),
        (" trial == 0 or trial == 1 and metric > 0.85", [0]),
        ("tied == false", []),
    ],
)
def test_a_filter_keeps_the_rows_for_which_it_holds(text, kept):
    assert [row["trial"] for row in Selection(keep=parse_filter(text)).of(TABLE)] == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "metric",
        "True",
        "metric >",
        "__import__('os').system('true')",
        "metric.real > 0",
        "metric > (0).real",
        "metric > open('x')",
        "backbone[0] == 'p'",
        "@x == 1",
        "metric + 1 > 0",
        "metric > 0 + 1",
        "0.5 < metric < 0.9",
        "0.5 < metric",
        "metric is none",
        "backbone in 'photos'",
        "trial in [[1]]",
        "trial == [1]",
        "metric > -'a'",
        "(lambda: 1)() == 1",
        "metric > 1 if trial else 0",
        "f'{metric}' == '1'",
        "trial == b'1'",
        "metric := 3",
        "(" * 300 + "metric > 0" + ")" * 300,
        "not " * 200 + "x",
        "trial == 1\0",
    ],
)
def test_what_is_no_comparison_is_refused(text):
    with pytest.raises(ConfigError, match="--filter: "):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "metric ~ 3",
            "--filter: found 'metric ~ 3', expected comparisons such as metric > 0.9, joined by "
            "and, or, not",
        ),
        ("bakbone == 'x'", "--filter: unknown column 'bakbone', did you mean 'backbone'?"),
        (
            "backbone == photos",
            "--filter: found photos on the right, expected a value; text needs quotes: 'photos'",
        ),
        (
            "metric > 0 " + "and metric > 0 " * 100,
            f"--filter: 1511 characters, expected {LONGEST_FILTER} at most",
        ),
    ],
)
def test_a_mistake_in_a_filter_is_said(text, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        parse_filter(text)


def test_columns_are_names_in_the_order_given():
    assert parse_columns("trial, metric,low") == ("trial", "metric", "low")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trial,metrik", "--columns: unknown column 'metrik', did you mean 'metric'?"),
        ("", "--columns: unknown column '', known: rank, trial, "),
        ("tial,bytez", "did you mean 'trial'?\n--columns: unknown column 'bytez', did you mean"),
    ],
)
def test_a_column_that_is_none_is_answered_with_the_nearest(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_columns(text)


def test_the_top_counts_what_passed_the_filter():
    view = Selection(keep=parse_filter("backbone == 'photos'"), top=1)
    assert [row["trial"] for row in view.of(reversed(TABLE))] == [2]
