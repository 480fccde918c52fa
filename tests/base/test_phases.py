"""A phase reports its beginning, its end and a count that only grows."""

import pytest

from tlsearch.base.phases import (
    REPORT_EVERY_S,
    Phase,
    counting_each,
    heard_by,
    phase,
    phase_counter,
)


@pytest.fixture
def now():
    return [0.0]


def test_a_phase_begins_counts_and_ends(now):
    heard = []
    with heard_by(heard.append), phase("decoding", 4, "pictures", clock=lambda: now[0]) as counter:
        for _ in counting_each(range(4), counter):
            now[0] += REPORT_EVERY_S
    assert [(one.state, one.done, one.seconds) for one in heard] == [
        ("began", 0, 0.0),
        *(("going", n, n * REPORT_EVERY_S) for n in (1, 2, 3, 4)),
        ("ended", 4, 4 * REPORT_EVERY_S),
    ]
    assert {(one.name, one.total, one.unit) for one in heard} == {("decoding", 4, "pictures")}


def test_counts_in_quick_succession_are_not_told_but_the_last(now):
    heard = []
    with heard_by(heard.append), phase("decoding", 1000, clock=lambda: now[0]) as counter:
        for _ in range(1000):
            counter.advance()
    assert [(one.state, one.done) for one in heard] == [
        ("began", 0),
        ("going", 1000),
        ("ended", 1000),
    ]


def test_a_count_never_shrinks():
    heard = []
    with heard_by(heard.append), phase("trials", 5) as counter:
        counter.reach(3)
        counter.reach(2)
    assert heard[-1].done == 3


def test_a_phase_that_fails_ends_too():
    heard = []
    with pytest.raises(ValueError, match="no"), heard_by(heard.append), phase("reading"):
        raise ValueError("no")
    assert [one.state for one in heard] == ["began", "ended"]


def test_what_is_inside_belongs_to_what_is_around():
    heard = []
    with heard_by(heard.append), phase("verifying", subject="onnx"), phase("tracing"):
        pass
    with heard_by(heard.append, "trial 3"), phase("tracing"):
        pass
    assert [(one.name, one.subject) for one in heard if one.state == "began"] == [
        ("verifying", "onnx"),
        ("tracing", "onnx"),
        ("tracing", "trial 3"),
    ]


def test_a_count_of_a_phase_elsewhere_neither_begins_nor_ends_it(now):
    heard = []
    with heard_by(heard.append):
        phase_counter("exporting", 2, "formats", lambda: now[0]).reach(2)
    assert [(one.state, one.done) for one in heard] == [("going", 2)]


def test_where_nobody_listens_nothing_happens():
    with phase("reading", 3) as counter:
        counter.advance()


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        (Phase("decoding", "began", 0, 9, "pictures"), "decoding: 0 of 9 pictures"),
        (Phase("reading", "began"), "reading: begins"),
        (Phase("reading", "going", 70, None, "pictures", "", 2.2), "reading: 70 pictures, 2 s"),
        (Phase("starting", "going", seconds=3.0), "starting: 3 s"),
        (
            Phase("verifying", "going", 32, 70, "pictures", "onnx", 12.3),
            "verifying onnx: 32 of 70 pictures, 12 s",
        ),
        (Phase("reporting", "ended", seconds=0.44), "reporting: done in 0.4 s"),
        (Phase("trials", "ended", 2, 2, "trials", "", 9.0), "trials: 2 of 2 trials in 9.0 s"),
    ],
)
def test_a_phase_in_words(printed, line):
    assert str(printed) == line
