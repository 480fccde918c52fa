"""A study in the tools of others: Optuna's own storage, its dashboard, TensorBoard."""

import json
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tlsearch.config.catalog import Direction
from tlsearch.results.live.events import EpochReported, StudyBegan, TrialBegan, TrialEnded
from tlsearch.results.live.tensorboard import TensorBoard
from tlsearch.results.record.journal import STUDY_NAME, open_storage


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "journal.log"
    study = optuna.create_study(
        storage=open_storage(path), study_name=STUDY_NAME, direction="maximize"
    )
    for value in (0.5, 0.75):
        trial = study.ask({"lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)})
        trial.set_user_attr("config", json.dumps({"backbone": "strokes"}))
        trial.report(value, 1)
        study.tell(trial, value)
    return path


def test_optunas_own_storage_opens_the_journal_as_it_is(journal):
    before = journal.read_bytes()
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(storage=storage, study_name=STUDY_NAME)
    assert [trial.value for trial in study.trials] == [0.5, 0.75]
    assert journal.read_bytes() == before


def test_optunas_dashboard_lists_the_study(journal):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    app = dashboard.wsgi(JournalStorage(JournalFileBackend(str(journal))))
    status = []
    environment = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(environment)
    body = b"".join(app(environment, lambda code, headers, error=None: status.append(code)))
    assert status == ["200 OK"]
    (found,) = json.loads(body)["study_summaries"]
    assert found["study_name"] == STUDY_NAME


def test_tensorboard_gets_a_file_a_trial_with_its_curve(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    config = {"backbone": "strokes"}
    board = TensorBoard(tmp_path / "tensorboard")
    board(StudyBegan("d", "pets", "accuracy", Direction.MAX, trials=1, epochs=2, slots=1))
    board(TrialBegan(3, config))
    for epoch, value in enumerate([0.25, 0.5]):
        board(EpochReported(3, epoch, value, rung=False))
    board(TrialEnded(3, "finished", "done", config, 0.5, 1, 1, 1.0, 1, 1, 3, 0.5))
    (file,) = (tmp_path / "tensorboard" / "00003").iterdir()
    assert "tfevents" in file.name
    assert curve(file) == [("validation/accuracy", 0, 0.25), ("validation/accuracy", 1, 0.5)]


def curve(path):
    """Return the scalars of an event file: tag, step, value."""
    from tensorboardX.proto.event_pb2 import Event

    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + length])
        at += 12 + length + 4
        found += [
            (v.tag, event.step, v.simple_value) for v in event.summary.value if "acc" in v.tag
        ]
    return found
