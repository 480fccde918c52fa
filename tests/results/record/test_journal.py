"""The journal of a study, as Optuna writes it: whole, torn, repaired."""

import errno
import itertools
import json
import logging
import os
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from tlsearch.base.errors import RecordError
from tlsearch.base.files import write_text
from tlsearch.config.catalog import Direction
from tlsearch.results.record.journal import (
    STUDY_NAME,
    Journal,
    TrialRecord,
    cut_incomplete_line,
    open_storage,
    read_journal,
)
from tlsearch.results.record.journal_file import JournalFile

TEST = {"trial": 0, "value": 0.8, "images": 9}


def begin(path: Path, direction: str = "maximize") -> optuna.Study:
    return optuna.create_study(
        storage=open_storage(path), study_name=STUDY_NAME, direction=direction
    )


def tell(study: optuna.Study, outcome: str, *values: float) -> None:
    """Add a trial that reported these values, one per epoch, and ended with this outcome."""
    trial = study.ask()
    for epoch, value in enumerate(values, start=1):
        trial.report(value, epoch)
    trial.set_user_attr("config", json.dumps({"backbone": "strokes", "head_units": [64]}))
    trial.set_user_attr("outcome", outcome)
    trial.set_user_attr("seconds", 1.5)
    if outcome == "finished":
        study.tell(trial, max(values))
    else:
        study.tell(trial, state=TrialState.PRUNED)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Write a journal with a trial in each state."""
    path = tmp_path / "journal.log"
    study = begin(path)
    tell(study, "finished", 0.5, 0.7, 0.6)
    tell(study, "stopped", 0.4)
    tell(study, "diverged")
    tell(study, "failed")
    study.tell(study.ask(), state=TrialState.FAIL)
    study.ask().report(0.2, 1)
    study.enqueue_trial({"dropout": 0.1})
    Journal(path).note({"test": TEST})
    return path


def test_every_state_is_told_in_the_words_of_this_project(journal: Path) -> None:
    record = read_journal(journal)
    assert [trial.state for trial in record.trials] == [
        "finished",
        "stopped",
        "diverged",
        "failed",
        "failed",
        "unfinished",
        "waiting",
    ]
    assert (record.direction, record.facts) == ("max", {"test": TEST})
    first = record.trials[0]
    assert first.values == {1: 0.5, 2: 0.7, 3: 0.6}
    assert (first.epochs, first.best(Direction.MAX), first.seconds) == (3, (2, 0.7), 1.5)
    assert first.config == {"backbone": "strokes", "head_units": [64]}
    assert (record.trials[2].epochs, record.trials[2].best(Direction.MAX)) == (0, None)


def test_less_can_be_better(tmp_path: Path) -> None:
    begin(tmp_path / "journal.log", "minimize")
    assert read_journal(tmp_path / "journal.log").direction == "min"


@given(
    st.dictionaries(st.integers(1, 20), st.sampled_from([0.1, 0.5, 0.9]), min_size=1),
    st.sampled_from(Direction),
)
def test_the_best_epoch_is_the_earliest_of_the_best(
    values: dict[int, float], direction: Direction
) -> None:
    found = TrialRecord(0, "finished", {}, values).best(direction)
    best = (max if direction == "max" else min)(values.values())
    assert found == (min(epoch for epoch, value in values.items() if value == best), best)


def cuts(journal: Path) -> tuple[bytes, range]:
    """Return the bytes of a journal, and every position within its last line."""
    whole = journal.read_bytes()
    return whole, range(whole.rfind(b"\n", 0, -1) + 1, len(whole))


def test_a_line_torn_anywhere_is_read_around_and_left_alone(journal: Path) -> None:
    whole, places = cuts(journal)
    trials = read_journal(journal).trials
    for place in places:
        journal.write_bytes(whole[:place])
        record = read_journal(journal)
        assert (record.trials, record.facts) == (trials, {})
        assert journal.read_bytes() == whole[:place]


def test_a_line_torn_anywhere_is_cut_at_the_last_newline(
    journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, places = cuts(journal)
    for place in places:
        caplog.clear()
        journal.write_bytes(whole[:place])
        torn = place - places[0]
        with caplog.at_level(logging.WARNING):
            assert cut_incomplete_line(journal) == torn
        assert journal.read_bytes() == whole[: places[0]]
        printed = [f"{journal}: cut {torn} bytes of an incomplete last line"]
        assert caplog.messages == (printed if torn else [])


def test_a_mended_journal_is_written_on(journal: Path) -> None:
    whole, places = cuts(journal)
    journal.write_bytes(whole[: places[len(places) // 2]])
    cut_incomplete_line(journal)
    study = optuna.load_study(storage=open_storage(journal), study_name=STUDY_NAME)
    tell(study, "finished", 0.9)
    Journal(journal).note({"test": TEST})
    record = read_journal(journal)
    finished = next(trial for trial in record.trials if trial.best(Direction.MAX) == (1, 0.9))
    assert (finished.state, len(record.trials)) == ("finished", 7)
    assert record.facts == {"test": TEST}


def test_a_whole_or_missing_journal_needs_no_mending(journal: Path) -> None:
    whole = journal.read_bytes()
    assert cut_incomplete_line(journal) == 0
    assert journal.read_bytes() == whole
    assert cut_incomplete_line(journal.with_name("gone.log")) == 0
    assert not journal.with_name("gone.log").exists()


@pytest.mark.parametrize(
    "line", [b"3", b"null", b"[]", b"{}", b"\xff", b"", b'{"op_code": 99, "worker_id": "a"}']
)
def test_a_line_that_optuna_never_wrote_is_damage(journal: Path, line: bytes) -> None:
    whole, places = cuts(journal)
    journal.write_bytes(whole[: places[0]] + line + b"\n" + whole[places[0] :])
    number = whole.count(b"\n")
    with pytest.raises(RecordError, match=rf"journal.log:{number}: the journal is damaged \("):
        read_journal(journal)


@pytest.mark.parametrize("content", [b"", b'{"op_code": 0, "wor'])
def test_a_journal_without_a_study_has_not_begun(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    with pytest.raises(RecordError) as refused:
        read_journal(path)
    assert str(refused.value) == f"{path}: the journal is empty; the study has not begun"


def test_a_missing_journal_is_named_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    with pytest.raises(RecordError) as refused:
        read_journal(path)
    assert str(refused.value) == f"{path}: no journal there; the study has not begun"
    assert not path.exists()


def test_a_full_disk_leaves_whole_lines_and_names_the_journal(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = journal.read_bytes()
    study = optuna.load_study(storage=open_storage(journal), study_name=STUDY_NAME)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as raised:
            study.set_user_attr("spent_s", 1.0)
    assert raised.value.filename == str(journal)
    assert journal.read_bytes() == before
    study.set_user_attr("spent_s", 2.0)
    assert read_journal(journal).facts["spent_s"] == 2.0


EARLIER = Path(__file__).parents[2] / "earlier_studies" / "finished" / "journal.log"


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 113), max_size=6))
def test_a_journal_that_grows_is_parsed_line_by_line_once(
    tmp_path_factory: pytest.TempPathFactory, places: list[int]
) -> None:
    lines = EARLIER.read_bytes().splitlines(keepends=True)
    path, parsed = tmp_path_factory.mktemp("study") / "journal.log", []
    growing = Journal(path)
    with pytest.MonkeyPatch.context() as patch:
        checked = JournalFile._parse_entry
        patch.setattr(
            JournalFile, "_parse_entry", lambda *line: parsed.append(line) or checked(*line)
        )
        for first, last in itertools.pairwise([0, *sorted(places), len(lines)]):
            with path.open("ab") as file:
                file.write(b"".join(lines[first:last]))
            growing.record()
    assert len(parsed) == len(lines)
    assert growing.record() == read_journal(EARLIER)


def test_a_journal_in_another_ones_place_is_read_anew(tmp_path: Path) -> None:
    path, lines = tmp_path / "journal.log", EARLIER.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines))
    journal = Journal(path)
    assert len(journal.record().trials) == 5
    write_text(path, b"".join(lines[:8]).decode())
    assert journal.record() == read_journal(path)
    assert len(journal.record().trials) < 5
