"""A study with one damaged file opens as far as it is intact, or gives exit code 4, file and line.

Each case damages one file of a study in `earlier_studies` in one way, drawn from a seed, and opens
it as `report`, `compare` and `resume` do.
"""

import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tlsearch.base.errors import RecordError
from tlsearch.cli.main import main
from tlsearch.results.rank.leaderboard import leaderboard
from tlsearch.results.record.curve import read_curve
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import read_journal
from tlsearch.results.record.predictions import Predictions, load_predictions
from tlsearch.results.report.comparison import comparison_text
from tlsearch.results.report.readable_table import readable_rows
from tlsearch.results.report.text import explain, render, summary
from tlsearch.search.handle import Study
from tlsearch.search.propose.searcher import TruthfulSearch
from tlsearch.search.runner import drop_unrecorded_states

STUDIES = Path(__file__).parent / "earlier_studies"
GARBAGE = [b"", b"null", b"[]", b"3", b"\xff\xfe", b'{"a": 1}', b"- [", b"x: &a [*a]", b"[" * 9999]
VALUES = [b"null", b"-1", b"1e999", b'"x"', b"[]", b"{}", b"true", b"9" * 30, b"2026-02-30"]


def flipped(content, chance):
    """Flip one bit."""
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def truncated(content, chance):
    """Cut off the end."""
    return content[: chance.randrange(len(content))]


def line_deleted(content, chance):
    """Delete one line."""
    lines = content.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def lines_swapped(content, chance):
    """Swap two lines."""
    lines = content.splitlines(keepends=True)
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def line_replaced(content, chance):
    """Replace one line by garbage."""
    lines = content.splitlines(keepends=True)
    lines[chance.randrange(len(lines))] = chance.choice(GARBAGE) + b"\n"
    return b"".join(lines)


def value_replaced(content, chance):
    """Replace one value by another."""
    found = list(re.finditer(rb'(?<=[:\[]) ?\\?"?([\w.-]+)\\?"?(?=[,}\]\n])', content))
    start, end = chance.choice(found).span()
    return content[:start] + b" " + chance.choice(VALUES) + content[end:]


BYTES = (flipped, truncated)
LINES = (*BYTES, flipped, line_deleted, lines_swapped, line_replaced, value_replaced)


def damaged(path, seed, ways):
    """Damage a file in place in a way drawn from the seed; the caller restores the file."""
    chance = random.Random(seed)
    path.write_bytes(chance.choice(ways)(path.read_bytes(), chance))


@pytest.fixture(params=["finished", "interrupted"])
def home(request, tmp_path):
    shutil.copytree(STUDIES / request.param, tmp_path / "study")
    return StudyDirectory(tmp_path / "study")


def shown(home):
    """Compute all that `report` and `compare` print for a study."""
    about, record = home.read_about(), read_journal(home.journal_file)
    board = leaderboard(record, about, home.best)
    render(board, "json")
    explain(readable_rows(board.rows, board.metric))
    summary(record, about)
    comparison_text([home.root])


def searched(home, config):
    """Open a study's search as `resume` does."""
    drop_unrecorded_states(home, read_journal(home.journal_file).trials)
    TruthfulSearch(config, home.journal_file, lambda *_: None).remaining()


def refusals(path, seeds, ways, opened):
    """Return the error messages from opening damaged files; each message names the file."""
    whole, messages = path.read_bytes(), []
    for seed in range(seeds):
        path.write_bytes(whole)
        damaged(path, f"{path.name} {seed}", ways)
        try:
            opened()
        except RecordError as error:
            messages.append(str(error))
    path.write_bytes(whole)
    assert [message for message in messages if not message.startswith(str(path))] == []
    return messages


def of_line(path, messages):
    """Return the messages that name a line of the file."""
    return [message for message in messages if re.match(rf"{re.escape(str(path))}:\d+: ", message)]


def test_a_damaged_journal_is_read_around_or_told_with_the_line(home):
    config, path = Study(home.root).config, home.journal_file

    def opened():
        shown(home)
        searched(home, config)

    complaints = refusals(path, 100, LINES, opened)
    assert len(complaints) > 30
    assert len(of_line(path, complaints)) >= len(complaints) - 2  # no line if the journal is empty


def test_a_damaged_study_file_is_told_with_the_line(home):
    path = home.study_file

    def opened():
        shown(home)
        assert Study(home.root).config.name

    complaints = refusals(path, 60, LINES, opened)
    assert len(complaints) > 20
    assert (
        len(of_line(path, complaints)) > len(complaints) // 2
    )  # no line if the file cannot be decoded


def test_a_damaged_learning_curve_is_shown_as_far_as_it_is_whole(home):
    path, kept = home.trial(0) / "curves.jsonl", []
    assert refusals(path, 40, LINES, lambda: kept.append(len(read_curve(path)))) == []
    whole = len(read_curve(path))
    assert sum(count >= whole - 2 for count in kept) > 30


def test_a_damaged_resume_state_does_not_keep_a_study_from_going_on(tmp_path):
    shutil.copytree(STUDIES / "interrupted", tmp_path / "study")
    home = StudyDirectory(tmp_path / "study")
    path, trials = home.trial(1) / "resume.npz", read_journal(home.journal_file).trials
    whole = path.read_bytes()
    for seed in range(100):
        path.write_bytes(whole)
        damaged(path, seed, BYTES)
        drop_unrecorded_states(home, trials)


def test_damaged_predictions_say_so(tmp_path):
    path = tmp_path / "predictions.npz"
    Predictions(3, np.arange(60) % 10, np.arange(60) % 7).save(path)
    assert len(refusals(path, 100, BYTES, lambda: load_predictions(path))) > 80


@pytest.mark.parametrize("command", ["report", "compare", "resume", "export"])
def test_a_command_ends_with_exit_code_4_and_the_line(home, command, monkeypatch, capsys):
    lines = home.journal_file.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"op_code":', b'"op_kode":')
    home.journal_file.write_bytes(b"".join(lines))
    out = ["--out", "model.keras"] if command == "export" else []
    monkeypatch.setattr(sys, "argv", ["tlsearch", command, str(home.root), *out])
    assert main() == 4
    complaints = capsys.readouterr().err
    after = len(lines) - 6
    assert (
        f"error: {home.journal_file}:6: the journal is damaged (no 'op_code' in it)" in complaints
    )
    assert f"which loses this line and the {after} lines after it" in complaints
