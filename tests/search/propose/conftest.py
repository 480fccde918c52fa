"""What the tests of a searcher share: what it told, and what its journal holds."""

from pathlib import Path

import pytest

from tlsearch.results.record.journal import read_journal


@pytest.fixture
def heard() -> list[object]:
    return []


@pytest.fixture
def record(tmp_path: Path):
    """Read the journal of a searcher."""
    return lambda: read_journal(tmp_path / "journal.log")
