"""The winner is confirmed on fresh seeds, within its time, and never twice."""

import contextlib
import itertools
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ended_trials import CONFIG, record, trial
from processes import children

from tlsearch.base.phases import Phase, heard_by
from tlsearch.config.augmentation import Augment
from tlsearch.config.catalog import BACKBONES, Direction
from tlsearch.config.load import parse
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare
from tlsearch.features import FOLDER
from tlsearch.results.live.events import ConfirmationRunEnded, Exporting
from tlsearch.results.live.pulse import IDLE
from tlsearch.results.rank.confirmation import (
    Run,
    confirmed_candidates,
    runs_of,
    winner,
)
from tlsearch.results.record.journal import read_journal
from tlsearch.search.ending import Ending
from tlsearch.search.ongoing import Search
from tlsearch.search.trial.workplace import workplace
from tlsearch.search.winner import confirm as confirm_module
from tlsearch.search.winner import rounds as rounds_module
from tlsearch.search.winner.confirm import train_again
from tlsearch.search.winner.rounds import (
    SEEDS,
    PlannedRun,
    fresh_seeds,
    online_epoch_s,
)
from tlsearch.store.entries import About, write_about

FIRST, _ = fresh_seeds(CONFIG.seed)


def test_a_pass_is_expected_to_take_what_passes_over_views_of_the_same_network_took(tmp_path):
    subject = TrialConfig(backbone="strokes", image_px=32)
    folder, build = tmp_path / FOLDER, BACKBONES["strokes"].build

    def kept(name, rows, seconds, **changes):
        what = {"weights": f"{build} abc", "image_px": 32, "view": "1 flip 0 1"} | changes
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", np.zeros(rows))
        write_about(folder / f"{name}.npy", About((rows,), "float64", seconds, 128, "", what))

    kept("clean", 10, 50.0, view="")
    kept("of others", 10, 60.0, weights=f"{build} xyz")
    assert confirm_module.pass_s(tmp_path, subject, "abc") is None
    kept("one", 30, 3.0)
    kept("two", 10, 5.0)
    assert confirm_module.pass_s(tmp_path, subject, "abc") == pytest.approx(8 / 40)
    won = trial(0, 0.9, seconds=10.0)
    assert online_epoch_s(record(won), won, 80, 20, 0.2) == pytest.approx(1 + 80 * 0.2)


def test_a_finished_epoch_is_kept_where_the_next_one_would_come_too_late(tmp_path):
    saved = []

    def snapshot(epoch):
        def save(path, weights_only):
            saved.append(epoch)
            path.write_bytes(b"%d" % epoch)

        return SimpleNamespace(save=save)

    def epochs(trial, start, network):
        for epoch in range(1, 5):
            yield SimpleNamespace(
                epoch=epoch,
                value=0.5 + epoch / 10,
                seconds=2.0,
                diverged=False,
                snapshot=partial(snapshot, epoch),
            )

    place = SimpleNamespace(train=epochs, better=lambda value, than: value > (than or 0))
    job = PlannedRun(3, TrialConfig(backbone="strokes", epochs=4), limit_s=5.0)
    heard = []
    with heard_by(heard.append):
        run = train_again(job, place, tmp_path)
    assert (run.value, run.epoch, run.seconds, saved) == (0.7, 2, 4.0, [1, 2])
    assert {one.subject for one in heard} == {f"trial 3 on seed {job.trial.seed}"}
    assert [(one.name, one.state, one.done, one.total) for one in (heard[0], heard[-1])] == [
        ("confirming", "began", 0, 4),
        ("confirming", "ended", 2, 4),
    ]


@pytest.mark.parametrize("refines", [False, True])
def test_runs_are_counted_as_they_end(refines, tmp_path, monkeypatch):
    study = record(trial(0, 0.9), runs=[Run(0, FIRST, 0.9, 3, 1.0)] if refines else [])
    home = SimpleNamespace(trial=lambda number: tmp_path)
    data = SimpleNamespace(splits={"train": range(80), "validation": [1]})
    ending = Ending()
    monkeypatch.setattr(Search, "record", lambda search: study)
    monkeypatch.setattr(Search, "note", lambda search, facts: None)
    monkeypatch.setattr(confirm_module, "online_epoch_s", lambda *known: 0.1)
    done = [Run(0, seed, 0.9, 3, 1.0, refines) for seed in (1, 2)][: 1 if refines else 2]
    monkeypatch.setattr(confirm_module, "as_completed", lambda *asked: iter(done))
    if refines:
        monkeypatch.setattr(confirm_module, "due_runs", lambda *asked: [])
    augment = Augment(flip="horizontal") if refines else Augment()
    config = CONFIG.model_copy(update={"augment": augment, "cache": tmp_path})
    heard = []
    with heard_by(heard.append):
        search = Search(config, home, data, ending, lambda event: None)
        confirm_module.confirm(search, None, 1)
    name = "refining" if refines else "confirming"
    assert {one.name for one in heard} == {name}
    assert [(one.state, one.done) for one in (heard[0], heard[-1])] == [
        ("began", 0),
        ("ended", len(done)),
    ]


SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 60, validation: 70, test: 80}}
space: {backbone: strokes, unfrozen_layers: [0, 15], fine_tune_lr: 1e-3}
augment: {flip: horizontal}
views: 2
epochs: 2
trials: 3
confirm: 2
resources: {max_concurrent: 2}
"""


def with_tensorflow(root):
    """Return the descendants of a process that have imported TensorFlow (Linux)."""
    found = set()
    for child in children(root):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found |= with_tensorflow(child)
            if "libtensorflow" in Path(f"/proc/{child}/maps").read_text():
                found.add(child)
    return found


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """Run a search with time for every run; return its `study`, the events it `reported`, and the
    `processes` that had imported TensorFlow after its trials.
    """
    from tlsearch.search.study import run

    folder, reported, processes = tmp_path_factory.mktemp("search"), [], set()

    def listen(event):
        reported.append(event)
        after_trials = isinstance(event, ConfirmationRunEnded | Exporting)
        if after_trials or (isinstance(event, Phase) and event.name == "verifying"):
            processes.update(with_tensorflow(os.getpid()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds_module, "SHARE", 100.0)
        config = parse(SPACE).model_copy(update={"cache": folder / "cache"})
        study = run(config, folder / "study", listen=listen)
    return SimpleNamespace(study=study, reported=reported, processes=processes)


@pytest.mark.cluster
def test_after_the_trials_two_processes_import_tensorflow(search):
    """They export and reload; confirmation and refinement run in the workers of the trials."""
    workers = {trial.worker for trial in search.study.record().trials}
    trained = {int(worker.rpartition(" ")[2]) for worker in workers}
    assert trained <= search.processes
    assert len(search.processes - trained) == 2


@pytest.mark.cluster
def test_a_run_after_other_trials_is_the_run_in_a_process_of_its_own(search, tmp_path):
    study = search.study
    record, data = study.record(), prepare(study.config.data, study.config.cache_path)
    for run in (one for one in runs_of(record.facts) if not one.refined):
        trial = TrialConfig(**record.trials[run.trial].config)
        job = PlannedRun(run.trial, trial.model_copy(update={"seed": run.seed}))
        again = train_again(job, workplace(study.config, data, tmp_path), tmp_path)
        assert replace(again, seconds=run.seconds) == run  # including the digest of its weights


@pytest.mark.cluster
def test_a_search_confirms_refines_and_exports_its_winner_once(search, capsys):
    from tlsearch.search.study import resume

    study, reported = search.study, search.reported
    facts = study.record().facts
    runs = runs_of(facts)
    assert [run.refined for run in runs] == [False] * 2 * SEEDS + [True]
    order = confirmed_candidates(runs, Direction.MAX)
    assert [len(one.values) for one in order] == [SEEDS, SEEDS]
    assert study.winner().number == winner(study.record()).trial == order[0].trial
    card = (study.home.best / "model_card.md").read_text()
    assert ("### Refinement" in card) == study.weights_path().name.startswith("refined-")
    assert study.weights_path().name == facts["test"]["weights"]
    assert facts["test"]["low"] <= facts["test"]["value"] <= facts["test"]["high"]
    assert (facts["test"]["metric"], facts["test"]["interval"]) == ("accuracy", "Wilson")
    assert f"| test accuracy, evaluated once | {facts['test']['value']:.4f} |" in card
    assert (study.home.best / "model.keras").is_file()
    resume(study, listen=reported.append)
    assert capsys.readouterr() == ("", "")  # the caller's listener replaces the default one
    assert read_journal(study.home.journal_file).facts["confirmation"] == facts["confirmation"]
    assert sum(type(event).__name__ == "Confirming" for event in reported) == 1
    phases = [event for event in reported if isinstance(event, Phase)]
    assert {one.name for one in phases if one.state == "began"} >= {
        *("reading", "decoding", "checking", "starting", "computing features", "tracing"),
        *("trials", "confirming", "refining", "exporting", "writing", "verifying", "reporting"),
    }
    for key in {one.key for one in phases if not one.subject}:
        own = [one for one in phases if one.key == key]
        assert own[-1].state == "ended" or own[-1].name == IDLE
        begun = [place for place, one in enumerate(own) if one.state == "began"]
        for first, last in itertools.pairwise([*begun, len(own)]):
            counts = [one.done for one in own[first:last]]
            assert counts == sorted(counts)
    ended = [one for one in phases if one.state == "ended" and one.name != "trials"]
    assert [one for one in ended if one.total and one.done < one.total] == []


def test_a_winner_is_refined_only_where_the_study_augments(tmp_path):
    study, noted = record(trial(0, 0.9, epochs=4), runs=[Run(0, FIRST, 0.9, 3, 1.0)]), []
    home = SimpleNamespace(trial=lambda number: tmp_path)
    ending = Ending()
    data = SimpleNamespace(splits={"train": range(80), "validation": [1]})
    plain = CONFIG.model_copy(update={"cache": tmp_path})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Search, "record", lambda search: study)
        patch.setattr(Search, "note", lambda search, facts: noted.append(facts))
        assert confirm_module._planned_refinement(Search(plain, home, data, ending, print)) is None
        assert noted == []
        augmented = plain.model_copy(update={"augment": Augment(flip="horizontal")})
        assert (
            confirm_module._planned_refinement(Search(augmented, home, data, ending, print)) is None
        )
    assert noted == [{"not_refined": "one epoch would take about 2.0 s, and 1.0 s are left"}]


def test_a_stopped_search_is_not_confirmed():
    from tlsearch.search.cluster.ray_session import as_completed

    ended = SimpleNamespace(cpus_per_trial=1, gpus_per_trial=0)
    assert list(as_completed(print, [], ended, 1, lambda: True)) == []
