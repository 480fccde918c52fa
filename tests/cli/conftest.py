"""A study for the commands that read one."""

import json
from pathlib import Path

import optuna
import pytest

from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import STUDY_NAME, open_storage


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a study directory with one trial."""
    home = StudyDirectory(tmp_path / "study")
    home.write_about({"name": "pets", "metric": "accuracy"})
    journal = optuna.create_study(
        storage=open_storage(home.journal_file), study_name=STUDY_NAME, direction="maximize"
    )
    trial = journal.ask()
    trial.set_user_attr("config", json.dumps({"backbone": "strokes"}))
    trial.report(0.75, 1)
    journal.tell(trial, 0.75)
    return home.root
