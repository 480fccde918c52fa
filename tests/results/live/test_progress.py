"""The progress of a search from its events: the lines, the pace, the best so far, bad listeners."""

import dataclasses
import json
import logging
from typing import get_args

import pytest

from tlsearch.base.phases import Phase
from tlsearch.config.catalog import Direction
from tlsearch.config.scheduler import rungs
from tlsearch.results.live.events import (
    BudgetSpent,
    ConfirmationRunEnded,
    Confirming,
    DataRead,
    DataReading,
    EpochReported,
    Event,
    Exporting,
    FeaturesWidened,
    Forecast,
    Listeners,
    NoForecast,
    Span,
    Stopping,
    StudyBegan,
    StudyEnded,
    TrialBegan,
    TrialEnded,
    WorkerLost,
    event_values,
)
from tlsearch.results.live.open_phases import IDLE
from tlsearch.results.live.progress import Progress, format_duration, line_listener, trial_ended
from tlsearch.results.rank.standings import Standings
from tlsearch.results.record.journal import StudyRecord, TrialRecord

CONFIG = {"backbone": "strokes", "unfrozen_layers": 15}
BEGAN = StudyBegan("/runs/pets", "pets", "accuracy", Direction.MAX, trials=20, epochs=6, slots=2)
STOPPED = "stopped at epoch 6: 0.874 < 0.881, place 5 of 12 at rung 6"
ENDED = TrialEnded(17, "stopped", STOPPED, CONFIG, 0.88, 3, 6, 1.5, 4, 20, 2, 0.91)
LINES = [
    (DataReading("folder"), "reading the images (folder)"),
    (DataRead(2, {"train": 70, "validation": 15}), "2 classes; 70 train, 15 validation"),
    (BEGAN, "study /runs/pets: 20 trials, 2 at a time"),
    (
        dataclasses.replace(BEGAN, ended=3),
        "study /runs/pets: 20 trials, 2 at a time, 3 of them ended before",
    ),
    (
        Forecast(28.4, 142.6, 12_900_000, 3.0, 10.3),
        "forecast: 34 to 51 s, of which the trials take 28 s; 143 epochs, 12.9 MB on disk",
    ),
    (
        NoForecast(),
        "no forecast: run `tlsearch plan` on this search space first to get one",
    ),
    (TrialBegan(17, CONFIG), "trial 17 began: strokes unfrozen 15"),
    (TrialBegan(4, {**CONFIG, "unfrozen_blocks": 3}), "trial 4 began: strokes unfrozen 3 blocks"),
    (EpochReported(17, 6, 0.874, True), "trial 17 epoch 6: 0.8740"),
    (
        FeaturesWidened("vgg16", "float16", "float32"),
        "vgg16: activations do not fit into float16: its features are kept as float32, which takes "
        "twice the space",
    ),
    (
        ENDED,
        f"[4/20] trial 17 strokes unfrozen 15: 0.8800 at epoch 3; {STOPPED} (best: trial 2, 0.91)",
    ),
    (
        dataclasses.replace(ENDED, leader=17),
        f"[4/20] trial 17 strokes unfrozen 15: 0.8800 at epoch 3; {STOPPED} (best so far)",
    ),
    (
        dataclasses.replace(
            ENDED, state="failed", reason="Traceback\nE: no", value=None, leader=None
        ),
        "[4/20] trial 17 strokes unfrozen 15: no value; E: no",
    ),
    (
        WorkerLost(3, 5, left=True, retried=True),
        "trial 3 was lost after epoch 5 because its node left the cluster: it continues in another "
        "process",
    ),
    (
        WorkerLost(3, 0, left=False, retried=False),
        "trial 3 was lost after epoch 0 because its process died without an error message: it is "
        "not retried",
    ),
    (Phase("decoding", "began", 0, 1200, "pictures"), "decoding: 0 of 1200 pictures"),
    (Confirming(3, 6), "confirming the 3 best trials: 6 runs on fresh seeds"),
    (Confirming(1, 1), "confirming the best trial: 1 run on fresh seeds"),
    (ConfirmationRunEnded(4, 77, 0.91, False), "trial 4 on seed 77: 0.9100"),
    (ConfirmationRunEnded(4, 77, 0.92, True), "trial 4 refined: 0.9200"),
    (Exporting(), "exporting the winner, and evaluating it on the test split"),
    (Stopping(), "stopping: finished trials will be ranked; interrupt again to end at once"),
    (
        BudgetSpent(600.0, 640.4),
        "the time budget of 600 s is used up (640 s spent): no more trials are trained; "
        "`tlsearch resume DIR --time +10m` extends the budget",
    ),
    (StudyEnded("interrupted", 4, 20), "study interrupted: 4 of 20 trials ended"),
    (
        StudyEnded("finished", 2, 20, "trial 1 reached 1"),
        "study finished: 2 of 20 trials ended; trial 1 reached 1",
    ),
]


@pytest.mark.parametrize(("event", "line"), LINES)
def test_every_event_has_its_line(event, line):
    assert str(event) == line


def test_every_kind_of_event_is_tried_above():
    assert {type(event) for event, _ in LINES} == set(get_args(Event))


def test_once_no_trial_is_left_none_are_foreseen(progress, clock):
    progress.hear(dataclasses.replace(BEGAN, ended=19))
    progress.hear(Phase("trials", "began", 19, 20, "trials"))
    clock[0] = 30.0
    progress.hear(dataclasses.replace(ENDED, ended=20))
    assert str(progress.time) == ""
    progress.hear(Phase("trials", "ended", 20, 20, "trials"))
    progress.hear(Phase("confirming", "began", 0, 4, "runs"))
    progress.hear(Phase("confirming", "going", 1, 6, "epochs", "trial 3 on seed 7", 4.0))
    clock[0] = 42.0
    assert progress.at_work == [
        "confirming: 0 of 4 runs, 12 s",
        "confirming trial 3 on seed 7: 1 of 6 epochs, 16 s",
    ]
    progress.hear(Phase("confirming", "ended", 4, 4, "runs"))
    assert progress.at_work == []


def test_between_phases_the_command_works_and_then_no_more(progress):
    progress.hear(Phase(IDLE, "going", seconds=3.0))
    assert progress.at_work == ["working: 3 s"]
    progress.hear(Phase("starting", "began", 0, 2, "steps"))
    assert progress.at_work == ["starting: 0 of 2 steps, 0 s"]


def test_a_trial_that_is_lost_is_no_longer_at_work(progress):
    for event in (BEGAN, TrialBegan(17, CONFIG), Phase("tracing", "began", subject="trial 17")):
        progress.hear(event)
    progress.hear(WorkerLost(17, 2, left=True, retried=True))
    assert (progress.running, progress.at_work) == ({}, [])
    assert progress.decision.startswith("trial 17 was lost after epoch 2")


@pytest.mark.parametrize("event", [event for event, _ in LINES])
def test_every_event_is_plain_json(event):
    found = json.loads(json.dumps(event_values(event), allow_nan=False))
    assert found.pop("event").replace("_", "") == type(event).__name__.lower()
    assert set(found) == {field.name for field in dataclasses.fields(event)}


def test_the_end_of_a_trial_is_what_the_record_says():
    trials = (
        TrialRecord(0, "finished", CONFIG, {1: 0.5, 2: 0.75}, "trained", 3.256),
        TrialRecord(1, "unfinished", CONFIG, {1: 0.9}),
        TrialRecord(2, "failed", CONFIG, {}, "no memory"),
    )
    event = trial_ended(trials[0], Standings.of(StudyRecord(Direction.MAX, trials)), 5)
    assert (event.value, event.best_epoch, event.epochs, event.seconds) == (0.75, 2, 2, 3.26)
    assert (event.ended, event.trials, event.leader, event.leader_value) == (2, 5, 1, 0.9)
    nobody = Standings.of(StudyRecord(Direction.MAX, trials[2:]))
    assert trial_ended(trials[2], nobody, 5).leader is None


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def progress(clock):
    return Progress(lambda: clock[0])


def test_progress_knows_running_trials_with_epoch_value_and_rung(progress):
    for event in (BEGAN, TrialBegan(17, CONFIG), TrialBegan(18, CONFIG)):
        progress.hear(event)
    progress.hear(EpochReported(17, 2, 0.5, rung=True))
    progress.hear(EpochReported(17, 3, 0.4, rung=False))
    first, second = progress.running.values()
    assert (first.epoch, first.value, first.rung) == (3, 0.4, 2)
    assert second.epoch is None
    assert progress.best == (17, 0.5, "strokes unfrozen 15")
    progress.hear(ENDED)
    assert list(progress.running) == [18]
    assert progress.decision == f"trial 17 {STOPPED}"
    assert progress.counts == "4 of 20 trials ended (1 stopped)"
    assert progress.best[:2] == (2, 0.91)


def test_a_forecast_stays_in_sight(progress):
    progress.hear(BEGAN)
    progress.hear(Forecast(28.4, 142.6, 12_900_000))
    assert progress.phase == "searching"
    assert progress.forecast == str(Forecast(28.4, 142.6, 12_900_000))
    progress.hear(NoForecast())
    assert "`tlsearch plan`" in progress.forecast


def test_less_is_better_where_the_direction_says_so(progress):
    progress.hear(dataclasses.replace(BEGAN, metric="loss", direction=Direction.MIN))
    for epoch, value in enumerate([0.5, 0.3, 0.4]):
        progress.hear(EpochReported(0, epoch, value, rung=False))
    assert progress.best[1] == 0.3


def test_a_running_trial_stays_the_best_until_it_is_beaten(progress):
    progress.hear(BEGAN)
    progress.hear(EpochReported(3, 1, 0.95, rung=False))
    progress.hear(ENDED)
    assert progress.best[:2] == (3, 0.95)


def test_the_pace_counts_only_what_ended_in_this_run(progress, clock):
    progress.hear(dataclasses.replace(BEGAN, ended=10))
    assert (progress.pace, str(progress.time)) == (None, "")
    clock[0] = 30.0
    progress.hear(dataclasses.replace(ENDED, ended=11))
    assert progress.pace == pytest.approx(2.0)
    assert progress.time.span == Span.around(270.0)


def test_lines_leave_epochs_and_proposals_out():
    heard = []
    listen = line_listener(heard.append)
    for event, _ in LINES:
        listen(event)
    silent = (EpochReported, TrialBegan)
    assert heard == [line for event, line in LINES if not isinstance(event, silent)]


def test_a_listener_that_fails_is_warned_of_once_and_the_others_go_on(caplog):
    heard = []

    def broken(event):
        raise BrokenPipeError("gone")

    tell = Listeners(broken, heard.append)
    with caplog.at_level(logging.WARNING):
        tell(BEGAN)
        tell(ENDED)
    assert heard == [BEGAN, ENDED]
    assert caplog.messages == ["a listener failed and is removed: BrokenPipeError: gone"]


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [(0.4, "0 s"), (59, "59 s"), (150, "2 min"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_a_time_is_said_as_people_do(seconds, printed):
    assert format_duration(seconds) == printed


@pytest.mark.parametrize(
    ("first", "reduction", "epochs", "found"),
    [(2, 3, 9, (2, 6)), (2, 3, 18, (2, 6, 18)), (5, 2, 3, (3,)), (1, 4, 1, (1,))],
)
def test_rungs(first, reduction, epochs, found):
    assert rungs(first, reduction, epochs) == found
