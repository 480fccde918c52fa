"""The contents of study.yaml, from the start of a study through every extension."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest

from tlsearch.base.errors import DiskError
from tlsearch.base.phases import heard_by
from tlsearch.cli.launch.search_commands import print_result
from tlsearch.config.device import CPU_PROFILE
from tlsearch.config.load import parse
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData, prepare
from tlsearch.results.rank import leaderboard
from tlsearch.results.rank.standings import Standings
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import STUDY_NAME, StudyRecord, TrialRecord, open_storage
from tlsearch.results.record.journal_file import JournalFile
from tlsearch.search import runner
from tlsearch.search.announce import ended_event
from tlsearch.search.ending import Ending
from tlsearch.search.extend import Extension, extend_config, plain_config
from tlsearch.search.handle import Study, require_same_images
from tlsearch.search.ongoing import Search
from tlsearch.search.study import (
    conclude,
    end_if_perfect,
    note_networks,
    run_and_confirm,
    seal_study,
    write_study_file,
)
from tlsearch.search.trial.prepared_images import describe, prepare_images

SPACE = "data: {kind: digits, image_px: 32, splits: {train: 40, validation: 40, test: 40}}"


@pytest.fixture
def config(tmp_path: Path) -> SearchConfig:
    return parse(SPACE, settings=[f"cache={tmp_path / 'cache'}"]).anchored()


@pytest.fixture
def data(config: SearchConfig) -> ImageData:
    return prepare(config.data, config.cache_path)


def test_a_study_keeps_its_beginning_and_every_change(
    config: SearchConfig, data: ImageData, tmp_path: Path
) -> None:
    home = StudyDirectory(tmp_path / "study")
    write_study_file(config, home, data, CPU_PROFILE)
    first = home.read_about()
    more = extend_config(config, Extension(trials="+20"))
    write_study_file(more, home, data, CPU_PROFILE)
    most = extend_config(more, Extension(time="10m", settings=("space.dropout=[0, 0.2]",)))
    write_study_file(most, home, data, CPU_PROFILE)
    about = home.read_about()
    assert Study(home.root).config == most
    assert {key: about[key] for key in ("data", "versions")} == {
        key: first[key] for key in ("data", "versions")
    }
    assert [list(extension["changes"]) for extension in about["extended"]] == [
        ["trials"],
        ["space.dropout", "time_budget"],
    ]


def test_a_study_that_only_goes_on_is_not_written_again(
    config: SearchConfig, data: ImageData, tmp_path: Path
) -> None:
    home = StudyDirectory(tmp_path / "study")
    write_study_file(config, home, data, CPU_PROFILE)
    written = home.study_file.stat().st_mtime_ns
    write_study_file(Study(home.root).config, home, data, CPU_PROFILE)
    assert home.study_file.stat().st_mtime_ns == written


SHARES = "data: {kind: digits, image_px: 32, splits: {validation: 0.02, test: 0.02}}"
BY_SHARES = "266c12a15d420edfd3bdb001f981aad0"  # their fingerprint as written by 0.1.0


def test_a_study_without_a_version_of_its_rules_reads_the_splits_that_it_began_with(
    tmp_path: Path,
) -> None:
    config = parse(SHARES, settings=[f"cache={tmp_path / 'cache'}"]).anchored()
    home, values = StudyDirectory(tmp_path / "study"), plain_config(config)
    for key in ("rules", "unreadable"):
        del values["data"][key]
    home.write_about(values, data={"fingerprint": BY_SHARES})
    study = Study(home.root)
    data = prepare_images(study.config)
    require_same_images(study, data)
    assert not data.moved
    again = extend_config(study.config, Extension(trials="+5"))
    write_study_file(again, home, data, CPU_PROFILE)
    assert home.read_about()["config"]["data"]["rules"] == 1
    assert Study(home.root).config == again


def test_a_new_study_notes_the_version_of_its_rules(tmp_path: Path) -> None:
    config = parse(SHARES, settings=[f"cache={tmp_path / 'cache'}"]).anchored()
    home, data = StudyDirectory(tmp_path / "study"), prepare_images(config)
    write_study_file(config, home, data, CPU_PROFILE)
    assert home.read_about()["config"]["data"]["rules"] == 2
    assert data.fingerprint == describe(data)["fingerprint"] != BY_SHARES
    require_same_images(Study(home.root), prepare_images(Study(home.root).config))


def test_a_report_that_does_not_fit_the_disk_leaves_the_ranked_table(
    data: ImageData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(Path(__file__).parents[1] / "earlier_studies" / "finished", tmp_path / "study")
    home = StudyDirectory(tmp_path / "study")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        study = conclude(Search(Study(home).config, home, data, Ending(), lambda event: None))
    with pytest.raises(DiskError, match=r"report/leaderboard\.csv: No space left on device; "):
        print_result(study)
    assert "\nrank " in capsys.readouterr().out


def test_the_end_of_a_study_parses_its_journal_once_and_ranks_its_trials_once(
    config: SearchConfig, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(__file__).parents[1] / "earlier_studies" / "finished", tmp_path / "study")
    home, lines, tables = StudyDirectory(tmp_path / "study"), [], []
    checked, rows = JournalFile._parse_entry, leaderboard.rows
    monkeypatch.setattr(
        JournalFile, "_parse_entry", lambda *line: lines.append(line) or checked(*line)
    )
    monkeypatch.setattr(leaderboard, "rows", lambda *known: tables.append(known) or rows(*known))
    search = Search(config, home, data, Ending(), lambda event: None)
    end_if_perfect(search)
    note_networks(search)
    seal_study(search)
    study = conclude(search)
    assert study.winner().number == home.journal.record().facts["test"]["trial"]
    assert len(lines) == len(home.journal_file.read_bytes().splitlines())
    assert len(tables) == 1


def perfect(number: int, value: float = 1.0) -> TrialRecord:
    return TrialRecord(number, "finished", {"backbone": "strokes"}, {1: value})


@pytest.mark.parametrize(("metric", "ends"), [("accuracy", True), ("auc", True), ("loss", False)])
def test_a_perfect_score_ends_the_search_with_its_reason(
    config: SearchConfig,
    data: ImageData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    metric: str,
    ends: bool,
) -> None:
    config = config.model_copy(update={"metric": metric})
    home, ending = StudyDirectory(tmp_path / "study"), Ending()
    home.write_about(plain_config(config))
    search, heard = Search(config, home, data, ending, lambda event: None), []

    def trained(search: Search, announce: Any, *_: Any) -> None:
        for number, value in enumerate((0.9, 1.0)):
            trial = perfect(number, value)
            announce(trial, Standings.of(StudyRecord(config.direction, (trial,))))
            assert ending.over == (ends and value == 1.0)

    monkeypatch.setattr(runner, "run_trials", trained)
    with heard_by(heard.append):
        run_and_confirm(search, lambda: None, lambda: None)
    assert (ended_event(search).reason != "") == ends
    assert [one.state for one in heard] == ["began", "ended"]
    assert (heard[-1].name, heard[-1].total) == ("trials", config.trials)


@pytest.mark.parametrize(("more", "ends"), [((), True), (("trials",), False)])
def test_a_study_with_a_perfect_trial_goes_on_only_where_more_are_asked_for(
    config: SearchConfig, data: ImageData, tmp_path: Path, more: tuple[str, ...], ends: bool
) -> None:
    home, ending = StudyDirectory(tmp_path / "study"), Ending()
    extended = [{"after_trials": 1, "changes": {key: {}}} for key in more]
    home.write_about(plain_config(config), extended=extended)
    study = optuna.create_study(
        storage=open_storage(home.journal_file), study_name=STUDY_NAME, direction="maximize"
    )
    trial = study.ask()
    trial.set_user_attr("config", '{"backbone": "strokes"}')
    trial.report(1.0, 1)
    study.tell(trial, 1.0)
    assert end_if_perfect(Search(config, home, data, ending, print)) != ends
    assert ending.over == ends
