"""Whole searches of one space and seed: equal if repeated with one slot, replayed with several."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from tlsearch.base.machine import machine
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import STUDY_NAME, TrialRecord, open_storage, read_journal

pytestmark = pytest.mark.cluster

SEARCH = """
import sys
from pathlib import Path
from tlsearch.config.load import parse
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.ray_session import connect
from tlsearch.search.ending import Ending
from tlsearch.search.extend import plain_config
from tlsearch.search.ongoing import Search
from tlsearch.search.trial.prepared_images import describe, prepare_images
from tlsearch.search.runner import run_trials

def search(name, slots):
    home = StudyDirectory(Path(name))
    resources = config.resources.model_copy(update={"max_concurrent": slots})
    limited = config.model_copy(update={"resources": resources})
    home.write_about(plain_config(config), data=describe(data))
    run_trials(Search(limited, home, data, Ending(), print), lambda *ended: None)

config = parse(sys.argv[1], settings=["cache=" + str(Path("cache").absolute())])
data = prepare_images(config)
with connect(config.resources):
    for name, slots in (("one", 1), ("again", 1), ("two", 2)):
        search(name, slots)
"""
REPLAY = """
import contextlib, io, json, sys
from tlsearch.cli.main import main
answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["tlsearch", "replay", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main()
    answers.append((code, out.getvalue()))
assert "ray" not in sys.modules
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory, replayed_space):
    """Run three searches of the same space in one Ray: two with one slot, one with two."""
    root = tmp_path_factory.mktemp("searched")
    in_a_process(root, SEARCH, replayed_space)
    return root


def in_a_process(root, code, argument):
    command = [sys.executable, "-c", code, argument]
    environment = {**os.environ, "HOME": str(root)}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def board(study: Path) -> list[tuple[object, ...]]:
    def row(trial: TrialRecord) -> tuple[object, ...]:
        return trial.number, trial.state, trial.values, trial.config

    return [row(trial) for trial in ranked_trials(read_journal(study / "journal.log"))]


def test_with_one_slot_a_seed_promises_the_leaderboard(searched):
    assert len(board(searched / "one")) == 4
    assert board(searched / "one") == board(searched / "again")


def tampered(study: Path) -> Path:
    """Return a copy of a study in which trial 1 is better by 1e-6 at its first epoch."""
    copy = StudyDirectory(study.parent / "tampered")
    copy.root.mkdir()
    copy.study_file.write_bytes((study / "study.yaml").read_bytes())
    old = optuna.load_study(study_name=STUDY_NAME, storage=open_storage(study / "journal.log"))
    new = optuna.create_study(
        study_name=STUDY_NAME, storage=open_storage(copy.journal_file), direction="maximize"
    )
    for trial in old.trials:
        if trial.number == 1:
            trial.intermediate_values[0] += 1e-6
        new.add_trial(trial)
    return copy.root


@pytest.mark.parametrize("study", ["one", "two"])
def test_a_trial_tells_what_computed_it(searched, study):
    trials = read_journal(searched / study / "journal.log").trials
    assert {trial.threads for trial in trials} == {1}
    assert all(trial.machine.startswith(machine()) for trial in trials)  # GPUs would follow


def test_with_many_slots_every_trial_replays_and_a_tampered_one_does_not(searched):
    calls = [["two", str(number)] for number in range(4)]
    calls += [[str(tampered(searched / "two")), "1", "--format", "json"]]
    *answers, (code, out) = json.loads(in_a_process(searched, REPLAY, json.dumps(calls)))
    assert [answer[0] for answer in answers] == [0] * 4, answers
    for number, (_, text) in enumerate(answers):
        last = text.splitlines()[-1]
        assert last.startswith(f"trial {number} matched: all ")
        assert last.endswith(" epochs equal to the last bit")
    found = json.loads(out)
    assert (code, found["matched"], found["exact"]) == (1, False, True)
    assert found["difference"] == pytest.approx(1e-6)
    assert [pair["epoch"] for pair in found["epochs"] if pair["difference"]] == [0]
