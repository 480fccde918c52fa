"""The story of one search: data -> trials -> winner -> export -> report."""

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlsearch.config.load import dump, from_mapping
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.errors import RecordError, StudyError, TlsearchError
from tlsearch.results.beside import beside
from tlsearch.results.events import Exporting, Listen, Stopping
from tlsearch.results.journal import StudyRecord, TrialRecord, note, read
from tlsearch.results.leaderboard import ranked, table
from tlsearch.results.live import trial_ended
from tlsearch.results.report import write_report
from tlsearch.results.storage import StudyDirectory
from tlsearch.search.artifacts import write_data
from tlsearch.search.images import describe, prepared, read_images, require_weight_files
from tlsearch.search.telling import began, ended_event, listeners

if TYPE_CHECKING:
    import pandas as pd

    from tlsearch.bundle.manifest import Manifest
    from tlsearch.search.ending import Ending

log = logging.getLogger(__name__)


class Study:
    """A study on disk: what was asked, what happened, what came of it."""

    def __init__(self, directory: Path, ended_by: TlsearchError | None = None) -> None:
        self.home = StudyDirectory(directory)
        self.about = self.home.read_about()
        self.ended_by = ended_by  # why the run that made this object was cut short, if it was

    @property
    def config(self) -> SearchConfig:
        """The search as it ran."""
        return from_mapping(self.about["config"], str(self.home.study_file))

    def record(self) -> StudyRecord:
        """Everything that the journal holds."""
        return read(self.home.journal_file)

    def leaderboard(self) -> "pd.DataFrame":
        """The trials, ranked, as a pandas table."""
        record = self.record()
        return table(record, beside(record, self.about, self.home.best))

    def best(self) -> TrialRecord | None:
        """The best trial, None before the first report."""
        return next(iter(ranked(self.record())), None)

    def weights(self, trial: int | None = None) -> Path:
        """The kept weights of a trial, the best one's by default; RecordError where none are."""
        number = trial if trial is not None else getattr(self.best(), "number", None)
        if number is None:
            raise RecordError(f"{self.home.root}: no trial has been ranked yet")
        if number not in {record.number for record in self.record().trials}:
            raise RecordError(f"{self.home.root}: there is no trial {number}")
        path = self.home.trial(number) / "best.npz"
        if not path.is_file():
            raise RecordError(
                f"{self.home.root}: the weights of trial {number} were not kept; "
                "only those of the best trials are"
            )
        return path


def run(config: SearchConfig, directory: Path | None = None, listen: Listen = log.info) -> Study:
    """Run a search to its end in a new study directory.

    Raises ConfigError where a study is already there, DataError before the first trial, StudyError
    where no trial succeeds. A search that the user or an error cuts short is ranked and returned,
    with `ended_by` set. `listen` hears each event of `results.events`, whose text is its line
    (`listen=print` prints them); what it raises is warned of and goes no further.
    """
    config = config.anchored()
    require_weight_files(config)
    home = StudyDirectory(directory or config.storage / config.name)
    home.refuse_existing()
    with home.locked():
        home.refuse_existing()
        listen = listeners(config, home, listen)
        data = read_images(config, listen)
        return _search(config, home, data, listen)


def resume(directory: Path, listen: Listen = log.info) -> Study:
    """Go on with a study: finished trials stay, unfinished ones continue, the rest is run."""
    study = Study(directory)
    config, home = study.config, study.home
    with home.locked():
        listen = listeners(config, home, listen)
        data = read_images(config, listen)
        _require_same_images(study, data)
        return _search(config, home, data, listen)


def _require_same_images(study: Study, data: ImageData) -> None:
    """Raise RecordError where pictures, classes or splits are not those the study began with."""
    if data.fingerprint != study.about["data"]["fingerprint"]:
        raise RecordError(
            f"{study.home.root}: the images, their classes or splits are not those that the study "
            "began with"
        )


def report(directory: Path) -> "pd.DataFrame":
    """The ranked trials of a study, as a pandas table; also while its search runs."""
    return Study(directory).leaderboard()


def export(
    study: Study,
    out: Path,
    trial: int | None = None,
    formats: tuple[str, ...] = ("keras",),
    timed: bool = False,
) -> "Manifest":
    """Write a trial's model (the best by default) as a bundle, or as one file where `out` ends in
    `.keras`; every file was compared with the trained network.

    Imports TensorFlow. Reads the study's images, to compare on the validation split.
    """
    best = study.best()
    number = trial if trial is not None or best is None else best.number
    study.weights(number)
    from tlsearch.search.finish import export_request
    from tlsearch.training.export import export_bundle, export_file

    config, single = study.config, out.suffix == ".keras"
    data = prepared(config)
    _require_same_images(study, data)
    request = export_request(
        config, study.home, data, number or 0, ("keras",) if single else formats, out
    )
    write = export_file if single else export_bundle
    return write(dataclasses.replace(request, timed=timed)).manifest


def _search(config: SearchConfig, home: StudyDirectory, data: ImageData, listen: Listen) -> Study:
    from tlsearch.search.cluster import connect
    from tlsearch.search.ending import Ending, signals

    ending = Ending(config.time_budget, on_interrupt=lambda: listen(Stopping()))
    with connect(config.resources) as slots, signals(ending):  # Ray takes SIGTERM as it starts
        _begin(config, home, data)
        listen(began(config, home, slots))
        _run(config, home, data, slots, ending, listen)
        _note_baselines(config, home, data)
        if not ending.cut_short:
            listen(Exporting())
            _finish(config, home, data, ending)
    listen(ended_event(config, home, ending))
    study = Study(home.root, ending.interrupted or ending.error)
    write_report(home, study.record(), study.about)
    if study.best() is None and ending.interrupted is None:
        lost = StudyError(f"{home.root}: no trial succeeded; see the logs under trials/")
        raise ending.error or lost
    return study


def _begin(config: SearchConfig, home: StudyDirectory, data: ImageData) -> None:
    """Write what the study is, once nothing stands against its first trial."""
    if not home.study_file.exists():
        write_data(home.artifacts, data)
        home.write_about(_plain(config), data=describe(data))


def _run(
    config: SearchConfig,
    home: StudyDirectory,
    data: ImageData,
    slots: int,
    ending: "Ending",
    listen: Listen,
) -> None:
    from tlsearch.search.finish import drop_weights
    from tlsearch.search.runner import run_trials

    def announce(trial: TrialRecord, record: StudyRecord) -> None:
        drop_weights(home, record)
        listen(trial_ended(trial, record, config.trials))

    run_trials(config, data, home, slots, ending, announce, listen)


def _finish(config: SearchConfig, home: StudyDirectory, data: ImageData, ending: "Ending") -> None:
    """Export the winner; where that fails the trials are ranked and reported all the same."""
    from tlsearch.search.finish import finish

    try:
        finish(config, home, data)
    except TlsearchError as error:
        ending.error = error


def _plain(config: SearchConfig) -> dict[str, Any]:
    import yaml

    plain: dict[str, Any] = yaml.safe_load(dump(config))
    return plain


def _note_baselines(config: SearchConfig, home: StudyDirectory, data: ImageData) -> None:
    from tlsearch.search.baselines import accuracy_baselines

    if config.metric == "accuracy" and home.journal_file.is_file():
        note(home.journal_file, {"baselines": accuracy_baselines(data)})
