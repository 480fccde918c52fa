"""The end of a search: export the winner, evaluate it once on the test split, drop old weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlsearch.base.errors import RecordError, TlsearchError
from tlsearch.base.phases import phase
from tlsearch.bundle.export_request import EXPORTING, ExportRequest
from tlsearch.bundle.manifest import read_manifest
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.results.rank.confirmation import (
    Winner,
    recorded_digest,
    recorded_values,
    run_of,
    winner,
)
from tlsearch.results.rank.standings import KEPT_TRIALS, keep_for_export
from tlsearch.results.record.directory import StudyDirectory, package_versions
from tlsearch.results.record.journal import EXPORTED, LEFT_OUT, StudyRecord, results_on_test
from tlsearch.results.record.kept_files import epoch_of, require_recorded
from tlsearch.results.report.verdict import named_test
from tlsearch.search.ongoing import Search
from tlsearch.search.winner.artifacts import write_test, write_winner
from tlsearch.search.winner.export_worker import ExportWorker, score_of


def finish(search: Search, worker: ExportWorker) -> None:
    """Export the winner to `best/` and record its test score; does nothing without a ranked trial.

    Formats that are left out of the bundle are recorded, and a later `resume` tries them again.
    A winner with a recorded test score is not evaluated again. All winners that were evaluated on
    the test split are recorded: an extended study may have several.
    """
    config, home, record = search.config, search.home, search.record()
    won = winner(record)
    if won is None:
        return
    exported = record.facts.get(EXPORTED) == won.to_json()
    if exported and _formats(home.best) == set(config.export):
        _note_left_out(search, record, {})
        return
    known = next((test for test in results_on_test(record) if _is_of(test, won)), None)
    request = export_request(config, home, search.data, record, won, config.export, home.best)
    with phase(EXPORTING, len(config.export), "formats"):
        evaluated, made = worker.export(request)
    test = known or _tested_now(home, won, evaluated)
    tests = results_on_test(record)
    search.note({"test": test, "tests": tests if known else [*tests, test]})
    if isinstance(made, TlsearchError):
        raise made
    validation, left_out = made
    write_winner(home.artifacts, search.data, won.trial, validation)
    search.note({EXPORTED: won.to_json()})
    _note_left_out(search, record, left_out)


def _note_left_out(search: Search, record: StudyRecord, left_out: dict[str, str]) -> None:
    """Record the formats that are not in the bundle, with the reasons, if they have changed."""
    if left_out != record.facts.get(LEFT_OUT, {}):
        search.note({LEFT_OUT: left_out})


def _tested_now(home: StudyDirectory, won: Winner, evaluated: dict[str, Any]) -> dict[str, object]:
    """Write a winner's first test evaluation to test.json; return the summary for the journal."""
    found = evaluated.pop("evaluation")
    write_test(home.artifacts, won.trial, found)
    return {**won.to_json(), **evaluated, "images": found["images"], "scores": found["scores"]}


def _is_of(test: Mapping[str, object], won: Winner) -> bool:
    return {name: test.get(name) for name in won.to_json()} == won.to_json()


def _formats(bundle: Path) -> set[str]:
    """Return the formats of a bundle; none if the bundle is missing or incomplete."""
    try:
        return {artifact.format for artifact in read_manifest(bundle).artifacts}
    except TlsearchError:
        return set()


def export_request(
    config: SearchConfig,
    home: StudyDirectory,
    data: ImageData,
    record: StudyRecord,
    won: Winner,
    formats: tuple[str, ...],
    out: Path,
) -> ExportRequest:
    """Return the export request for a winner, with its test score if it was evaluated before.

    Raises RecordError if the weights are not those that the journal recorded.
    """
    require_kept(home, record, won)
    known = [test for test in results_on_test(record) if _is_of(test, won)]
    about = {"config": {"metric": config.metric}}
    return ExportRequest(
        checkpoint=home.trial(won.trial) / won.weights,
        data=data,
        pictures_from=config.data,
        formats=formats,
        out=out,
        versions=package_versions(),
        test=score_of(named_test(known[0], about)) if known else None,
        refined_from=_first_phase(record, won),
        recorded=recorded_values(record, won),
    )


def require_kept(home: StudyDirectory, record: StudyRecord, won: Winner) -> None:
    """Raise RecordError if a winner's weights are not those that the journal recorded.

    The weights of an unfinished trial may come from an epoch that is not in the journal yet.
    """
    trial, path = record.trials[won.trial], home.trial(won.trial) / won.weights
    try:
        require_recorded(path, won.trial, recorded_digest(record, won))
    except FileNotFoundError:  # the exporter reports it, with advice
        return
    except RecordError:
        if trial.state != "unfinished" or epoch_of(path) in (None, *trial.values):
            raise


def _first_phase(record: StudyRecord, won: Winner) -> TrialConfig | None:
    """Return the configuration from which a refined winner was trained further.

    It is that of its trial with the seed of the refined run; None if the winner was not refined.
    """
    run = run_of(record, won)
    if run is None or not run.refined:
        return None
    trial = TrialConfig(**record.trials[won.trial].config)
    return trial.model_copy(update={"seed": run.seed})


def drop_weights(home: StudyDirectory, record: StudyRecord) -> None:
    """Delete the weights and predictions of all but the best trials, and the resume state of all
    but unfinished trials. The weights of unfinished trials are kept, too.
    """
    kept = set(keep_for_export(record, KEPT_TRIALS))
    for trial in record.trials:
        if trial.state == "unfinished":
            continue
        home.drop_resume_state(trial.number)
        if trial.number not in kept:
            home.drop_best(trial.number)
