"""The digest of a finished journal: it reveals every later change but allows new lines."""

import shutil
from pathlib import Path

import pytest

from tlsearch.base.errors import RecordError
from tlsearch.results.record.file_names import SEAL
from tlsearch.results.record.journal import Journal, read_journal
from tlsearch.results.record.seal import seal

EARLIER = Path(__file__).parents[2] / "earlier_studies" / "finished" / "journal.log"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the journal of a study that ended."""
    path = tmp_path / "journal.log"
    shutil.copy(EARLIER, path)
    seal(path)
    return path


def test_each_line_deleted_after_the_end_shows(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    for place in range(len(lines)):
        journal.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        with pytest.raises(RecordError, match=r"journal\.log: changed since the study ended"):
            read_journal(journal)


def test_a_value_changed_after_the_end_shows(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes().replace(b"0.51", b"0.91"))
    with pytest.raises(RecordError, match=f"delete {SEAL} to accept the journal as it is"):
        read_journal(journal)
    journal.with_name(SEAL).unlink()
    assert read_journal(journal).facts["test"]["value"] > 0.9


def test_a_driver_that_goes_on_adds_lines_and_seals_them_at_its_end(journal: Path) -> None:
    Journal(journal).note({"spent_s": 99.0})
    assert read_journal(journal).facts["spent_s"] == 99.0
    seal(journal)
    journal.write_bytes(journal.read_bytes().replace(b"99.0", b"98.0"))
    with pytest.raises(RecordError, match="changed since the study ended"):
        read_journal(journal)


def test_a_study_without_a_digest_is_taken_as_it_is(journal: Path) -> None:
    journal.with_name(SEAL).unlink()
    assert len(read_journal(journal).trials) == 5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"bytes": -1, "sha256": ""}', b"\xff"])
def test_a_damaged_digest_is_named(journal: Path, content: bytes) -> None:
    journal.with_name(SEAL).write_bytes(content)
    with pytest.raises(RecordError, match=f"{SEAL}: damaged .*; delete it to accept journal.log"):
        read_journal(journal)
