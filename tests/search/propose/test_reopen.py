"""A study whose space changes keeps its trials and their numbers, in a new Optuna study."""

from pathlib import Path

import optuna
import pytest
from epoch_results import result
from optuna.trial import TrialState

from tlsearch.config.load import parse
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.journal import (
    Journal,
    cut_incomplete_line,
    newest_name,
    open_storage,
    read_journal,
)
from tlsearch.search.propose.outcome import RETRIES
from tlsearch.search.propose.reopen import newest_study
from tlsearch.search.propose.searcher import TruthfulSearch

SPACE = """
data: {kind: digits}
space:
  backbone: [strokes, photos]
  unfrozen_layers: [0, 15]
baselines:
  - {backbone: photos, unfrozen_layers: 0}
  - {backbone: strokes, unfrozen_layers: 15}
  - {backbone: photos, unfrozen_layers: 15}
epochs: 6
trials: 30
"""
WIDER = "space.backbone=[strokes, photos, mobilenet_v2_035]"
NARROW = "space.backbone=strokes"
DROPOUT = "space.dropout={low: 0, high: 0.5, step: 0.1}"


def searcher(journal: Path, *settings: str) -> TruthfulSearch:
    if NARROW in settings:
        settings = (*settings, "baselines=[]")
    return TruthfulSearch(parse(SPACE, settings=settings), journal, lambda trial, record: None)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Write a journal of twelve trials that ended in every way, one unfinished, and a fact."""
    path = tmp_path / "journal.log"
    search = searcher(path)
    for number in range(12):
        search.suggest(name := str(number))
        search.take(name, result(1, 0.3 + number / 100))
        search.take(name, result(2, 0.5 + number / 100))
        if number == 9:
            for retry in range(RETRIES):
                search.on_trial_complete(name, None, error=True)
                search.suggest(name := f"9, retry {retry}")
            search.on_trial_complete(name, None, error=True)
        elif number == 10:
            search.on_trial_complete(name, result(3, float("nan"), diverged=True))
        else:
            search.on_trial_complete(name, result(6 if number % 2 else 2, 0.4))
    search.suggest("cut short")
    search.take("cut short", result(1, 0.9))
    Journal(path).note({"test": {"trial": 3, "value": 0.5, "images": 4}})
    return path


@pytest.mark.parametrize("change", [WIDER, NARROW, DROPOUT, "space.batch_size=64"])
def test_the_record_of_a_changed_space_is_the_one_before(journal: Path, change: str) -> None:
    before = read_journal(journal)
    searcher(journal, change)
    assert newest_name(open_storage(journal)) == "tlsearch-2"
    assert read_journal(journal) == before


def test_a_space_that_stays_opens_no_new_study(journal: Path) -> None:
    before = read_journal(journal)
    searcher(journal, "trials=60")
    assert newest_name(open_storage(journal)) == "tlsearch"
    assert read_journal(journal) == before


def test_the_sampler_knows_all_old_trials_and_proposes_the_new_choice(journal: Path) -> None:
    search = searcher(journal, WIDER)
    known = [t for t in search.study.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(known) == 12
    assert all(len(t.distributions["backbone"].choices) == 3 for t in known)
    assert sum(t.state == TrialState.COMPLETE for t in known) == 5
    assert {t.number for t in known if any(v > 0 for v in t.constraints.values())} == {9, 10}
    assert search.suggest("a")["number"] == 12
    numbers, backbones = set(), set()
    for number in range(13, 30):
        proposal = search.suggest(str(number))
        numbers.add(proposal["number"])
        backbones.add(proposal["trial"]["backbone"])
        search.on_trial_complete(str(number), result(6, 0.5))
    assert numbers == set(range(13, 30))
    assert "mobilenet_v2_035" in backbones


def test_a_dimension_that_was_constant_is_known_of_old_trials(journal: Path) -> None:
    search = searcher(journal, DROPOUT)
    assert all(t.params["dropout"] == 0.0 for t in search.study.trials)


def test_trials_outside_of_a_narrower_space_are_ranked_but_not_shown_to_the_sampler(
    journal: Path,
) -> None:
    before = read_journal(journal)
    outside = {t.number for t in before.trials if t.config["backbone"] == "photos"}
    search = searcher(journal, NARROW)
    ended = {t.number for t in before.trials if t.state != "unfinished"}
    hidden = {t.number for t in search.study.trials if t.state == TrialState.FAIL}
    assert hidden == outside & ended
    assert hidden
    assert [t.number for t in ranked_trials(read_journal(journal))] == [
        t.number for t in ranked_trials(before)
    ]
    assert search.record().trials == before.trials  # rungs are rebuilt from it


def test_a_space_widened_back_shows_them_again(journal: Path) -> None:
    before = [(t.state, t.value, t.params) for t in searcher(journal).study.trials]
    searcher(journal, NARROW)
    again = searcher(journal)
    assert newest_name(open_storage(journal)) == "tlsearch-3"
    assert [(t.state, t.value, t.params) for t in again.study.trials] == before


@pytest.mark.parametrize("space", ["strokes", "photos"])
def test_an_unfinished_trial_goes_on_as_it_was_whatever_the_space(
    journal: Path, space: str
) -> None:
    config = read_journal(journal).trials[12].config
    search = searcher(journal, f"space.backbone={space}", "baselines=[]")
    assert search.suggest("a") == {"number": 12, "trial": config}
    search.on_trial_complete("a", result(6, 0.95))
    inside = config["backbone"] == space
    assert (search.study.trials[12].state == TrialState.COMPLETE) == inside
    assert read_journal(journal).trials[12].state == "finished"
    assert ranked_trials(read_journal(journal))[0].number == 12


def test_a_baseline_that_waits_keeps_its_number_and_what_the_space_still_holds(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.log"
    searcher(path).suggest("first")
    search = searcher(path, NARROW)
    assert [t.number for t in search.study.trials] == [0, 1, 2]
    first, second, third = (search.suggest(name) for name in "abc")
    assert (first["number"], first["trial"]["backbone"]) == (0, "photos")  # it had begun
    assert (second["number"], second["trial"]["unfrozen_layers"]) == (1, 15)
    assert (third["trial"]["backbone"], third["trial"]["unfrozen_layers"]) == ("strokes", 15)


def test_a_driver_killed_anywhere_while_it_moves_the_trials_loses_none(journal: Path) -> None:
    before, whole = read_journal(journal), journal.read_bytes()
    searcher(journal, WIDER)
    after = journal.read_bytes()
    for cut in range(len(whole), len(after), 997):
        journal.write_bytes(after[:cut])
        assert read_journal(journal) == before
        cut_incomplete_line(journal)
        config = parse(SPACE, settings=[WIDER])
        study = newest_study(config, open_storage(journal))
        assert read_journal(journal) == before
        assert len(study.trials) == len(before.trials)
        assert newest_study(config, open_storage(journal)).study_name == study.study_name


def test_facts_go_to_the_newest_study(journal: Path) -> None:
    searcher(journal, WIDER)
    Journal(journal).note({"spent_s": 3.0})
    assert read_journal(journal).facts == {
        "test": {"trial": 3, "value": 0.5, "images": 4},
        "spent_s": 3.0,
    }


def test_a_journal_that_noted_no_space_is_moved_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    old = optuna.create_study(
        study_name="tlsearch", storage=open_storage(path), direction="maximize"
    )
    old.ask()
    assert searcher(path).study.study_name == "tlsearch-2"
    assert searcher(path).study.study_name == "tlsearch-2"
