"""Forecasts: measured once, remembered by all that matters, and recorded beside the outcome."""

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict
from types import SimpleNamespace

import optuna
import pytest

from tlsearch.base.errors import ClusterError, DataError, StudyError
from tlsearch.config.load import from_mapping
from tlsearch.data.sources import prepare
from tlsearch.results.live.events import Forecast, NoForecast
from tlsearch.results.rank.confirmation import RUNS, Run
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import STUDY_NAME, open_storage, read_journal
from tlsearch.results.report.forecast_line import FORECAST, forecast_line
from tlsearch.search.budget import Budget
from tlsearch.search.cost import calibration
from tlsearch.search.cost.calibration import REMEMBERED, calibrate, remembered_paces
from tlsearch.search.cost.forecast import forecast, learn_from_search, report_forecast
from tlsearch.search.cost.learned import past_searches
from tlsearch.search.cost.survey import of_read, survey
from tlsearch.search.ongoing import Search

CLASSES, SLOTS = 10, 2
START_S, CONFIRM_S, EXPORT_S = 6.0, 20.0, 10.0


@pytest.fixture
def config(tmp_path):
    def build(**changes):
        splits = {"train": 60, "validation": 70, "test": 80}
        plain = {
            "data": {"kind": "digits", "image_px": 32, "splits": splits},
            "space": {"backbone": ["strokes"], "unfrozen_layers": [0, 15]},
            "trials": 4,
            "epochs": 3,
            "cache": str(tmp_path / "cache"),
        }
        return from_mapping(plain | changes)

    return build


@pytest.fixture
def answers(monkeypatch):
    """Fake the measuring process with one made-up machine; return the requests that it received."""
    started = []
    suffixes = [
        {
            "depth": {"layers": layers, "blocks": None}, "cut_name": name, "from_images": False,
            "numbers": 64, "share": share,
            "cost": 10, "trained": 100, "train_s": 1e-4, "predict_s": 1e-5, "trace_s": 0.1,
        }
        for layers, name, share in ((0, "pool", 1.0), (15, "block_15_add", 0.8))
    ]  # fmt: skip
    pace = {"multiply_adds": 100, "pass_s": 1e-3, "trace_s": 0.2, "suffixes": suffixes}
    answer = {"start_s": 2.0, "memory_bytes": 10**8, "resident_bytes": 10**9, "augment_s": 0.0}

    def run(command, input, **_):
        started.append(json.loads(input))
        answered = {"paces": dict.fromkeys(started[-1]["backbones"], pace), **answer}
        return SimpleNamespace(returncode=0, stdout=f"chatter\n{json.dumps(answered)}\n", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return started


def test_a_machine_is_measured_once(config, answers):
    assert remembered_paces(config(), CLASSES) is None
    first = calibrate(config(), CLASSES)
    assert calibrate(config(trials=40), CLASSES) == first == remembered_paces(config(), CLASSES)
    assert len(answers) == 1


def test_as_many_processes_are_measured_as_train_at_a_time(config, answers, monkeypatch):
    monkeypatch.setattr(calibration, "granted_cores", lambda: 4)
    for slots, processes in ((1, 1), (3, 3), (9, 4)):
        del answers[:]
        calibrate(config(), CLASSES, slots=slots)
        assert len(answers) == processes
        assert remembered_paces(config(), CLASSES, slots=slots) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"space": {"backbone": ["strokes"], "unfrozen_layers": [0, 40]}},
        {"space": {"backbone": ["strokes", "photos"], "unfrozen_layers": [0, 15]}},
        {"data": {"kind": "digits", "image_px": 48}},
        {"resources": {"cpus_per_trial": 2}},
        {"feature_dtype": "float32"},
        {"augment": "light"},
    ],
)
def test_another_question_is_measured_anew(config, answers, changes):
    calibrate(config(), CLASSES)
    assert remembered_paces(config(**changes), CLASSES) is None


def test_another_machine_is_measured_anew(config, answers, monkeypatch):
    calibrate(config(), CLASSES)
    monkeypatch.setattr(calibration, "cpu_name", lambda: "another")
    assert remembered_paces(config(), CLASSES) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "cut"])
def test_a_damaged_memory_is_measured_anew(config, answers, text):
    calibrate(config(), CLASSES)
    path = config().cache_path / REMEMBERED
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2] if text == "cut" else text)
    assert remembered_paces(config(), CLASSES) is None
    calibrate(config(), CLASSES)
    assert path.read_text() == whole or json.loads(path.read_text())
    assert len(answers) == 2


def test_entries_that_lack_something_are_measured_anew(config, answers):
    calibrate(config(), CLASSES)
    path = config().cache_path / REMEMBERED
    known = json.loads(path.read_text())
    for entry in known.values():
        del entry["pace"]["pass_s"]
    path.write_text(json.dumps(known))
    assert remembered_paces(config(), CLASSES) is None


def test_a_process_that_fails_says_why(config, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StudyError, match="could not be measured: exit code 1"):
        calibrate(config(), CLASSES)


def test_a_survey_counts_what_the_search_will_see(config):
    before = survey(config())
    data = prepare(config().data, config().cache_path)
    assert before.images == {"train": 60, "validation": 70, "test": 80} == of_read(data).images
    assert before.decode_s > 0.0
    assert survey(config()).decode_s == 0.0


def test_what_would_stop_a_run_stops_its_plan(config, answers, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        forecast(config(data={"path": str(tmp_path / "nowhere")}))
    with pytest.raises(ClusterError, match="no node can run a trial"):
        forecast(config(resources={"cpus_per_trial": 10_000}))
    assert answers == []


def begun(tmp_path, name="study"):
    """Return a study in which an earlier run trained one trial."""
    home = StudyDirectory(tmp_path / name)
    home.root.mkdir()
    trained(optuna.create_study(storage=open_storage(home.journal_file), study_name=STUDY_NAME))
    return home


def trained(study):
    trial = study.ask()
    trial.set_user_attr("config", '{"backbone": "strokes"}')
    for epoch in range(4):
        trial.report(0.5, epoch)
    study.tell(trial, 0.5)


def searched(config, home, cut_short=False, enough=None):
    heard, now = [], [0.0]
    data = prepare(config.data, config.cache_path)
    ending = SimpleNamespace(
        cut_short=cut_short, enough=enough, out_of_time=False, on_disk_error=nullcontext
    )
    budget = Budget(spent_before_s=100.0, clock=lambda: now[0])
    search = Search(config, home, data, ending, heard.append, slots=SLOTS, budget=budget)
    now[0] = START_S
    with learn_from_search(search):
        with report_forecast(search):
            now[0] += 12.34
            storage = open_storage(home.journal_file)
            study = optuna.load_study(storage=storage, study_name=STUDY_NAME)
            for _ in range(3):
                trained(study)
            features = config.cache_path / "features"
            features.mkdir(parents=True, exist_ok=True)
            (features / "a.npy").write_bytes(bytes(300))
            home.trial(0).mkdir(parents=True)
            (home.trial(0) / "best.npz").write_bytes(bytes(50))
        now[0] += CONFIRM_S
        search.note({RUNS: [Run(0, 1000, 0.5, 3, 2.0).to_json()]})
        budget.begin_export()
        now[0] += EXPORT_S
    return heard


def test_a_run_tells_what_is_remembered_and_notes_what_came(config, answers, tmp_path):
    calibrate(config(), CLASSES, slots=SLOTS)
    home = begun(tmp_path)
    (expected,) = searched(config(), home)
    fact = read_journal(home.journal_file).facts[FORECAST]
    assert isinstance(expected, Forecast)
    assert fact["actual"] == asdict(Forecast(12.3, 9, 350))
    assert fact["expected"] == asdict(expected)
    line = forecast_line(read_journal(home.journal_file))
    assert line is not None
    of = "of the last run, for 3 of 4 trials"
    assert line.startswith(f"forecast and actual cost {of}: {expected.seconds:.0f} s and 12 s; ")


def test_a_run_measures_nothing(config, answers, tmp_path):
    home = begun(tmp_path)
    assert searched(config(), home) == [NoForecast()]
    assert answers == []
    assert forecast_line(read_journal(home.journal_file)) is None


def test_a_search_cut_short_is_not_compared(config, answers, tmp_path):
    calibrate(config(), CLASSES, slots=SLOTS)
    home = begun(tmp_path)
    searched(config(), home, cut_short=True)
    assert FORECAST not in read_journal(home.journal_file).facts


def test_what_a_search_took_is_expected_of_the_next_one_of_its_kind(config, answers, tmp_path):
    calibrate(config(), CLASSES, slots=SLOTS)
    planned, nearer = (searched(config(), begun(tmp_path, name))[0] for name in ("one", "two"))
    for before, after, took in (
        (planned.seconds, nearer.seconds, 12.3),
        (planned.confirm_s, nearer.confirm_s, CONFIRM_S),
        (planned.export_s, nearer.export_s, EXPORT_S),
    ):
        assert after == pytest.approx(before * (took / before) ** (8 / 9), rel=0.05)


@pytest.mark.parametrize("ended", [{"cut_short": True}, {"enough": "trial 1 is perfect"}])
def test_a_search_that_did_not_train_all_its_trials_teaches_nothing(
    config, answers, tmp_path, ended
):
    calibrate(config(), CLASSES, slots=SLOTS)
    searched(config(), begun(tmp_path), **ended)
    assert past_searches(config().cache_path, slots=2) == ()
