"""Fixtures of the searcher tests: what a searcher announced, and its journal."""

from pathlib import Path

import pytest

from tlsearch.results.record.journal import read_journal


@pytest.fixture
def heard() -> list[object]:
    return []


@pytest.fixture
def record(tmp_path: Path):
    """Return a function that reads the journal of a searcher."""
    return lambda: read_journal(tmp_path / "journal.log")
