"""A trial that trains while its study is read is running; an interrupted one is not."""

import shutil
from pathlib import Path

import pytest

from tlsearch.cli.read.study_tables import show
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import SEAL
from tlsearch.results.record.seal import seal

STUDY = Path(__file__).parents[2] / "earlier_studies" / "interrupted"


@pytest.mark.parametrize(
    ("driven", "sealed", "state"),
    [(True, False, "running"), (False, False, "unfinished"), (True, True, "unfinished")],
)
def test_a_trial_is_running_while_a_driver_has_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    driven: bool,
    sealed: bool,
    state: str,
) -> None:
    shutil.copytree(STUDY, tmp_path / "study")
    home = StudyDirectory(tmp_path / "study")
    (home.root / SEAL).unlink(missing_ok=True)
    if sealed:
        seal(home.journal_file)
    monkeypatch.setattr("tlsearch.cli.read.study_tables.is_over", lambda home: not driven)
    show(home)
    other = {"running": "unfinished", "unfinished": "running"}[state]
    printed = capsys.readouterr().out
    assert state in printed
    assert other not in printed
