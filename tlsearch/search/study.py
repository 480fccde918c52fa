"""The story of one search: data -> trials -> winner -> export -> report."""

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlsearch.config.load import dump, from_mapping
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.errors import RecordError, SearchInterruptedError, StudyError
from tlsearch.results.beside import beside
from tlsearch.results.events import Exporting, Listen
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

log = logging.getLogger(__name__)


class Study:
    """A study on disk: what was asked, what happened, what came of it."""

    def __init__(self, directory: Path, ended_by: SearchInterruptedError | None = None) -> None:
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
    where the trials all fail alike. A search that the user interrupts is ranked and returned, with
    `ended_by` set. `listen` hears each event of `results.events`, whose text is its line
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
        home.write_about(_plain(config), data=describe(data))
        write_data(home.artifacts, data)
        return _search(config, home, data, listen)


def resume(directory: Path, listen: Listen = log.info) -> Study:
    """Go on with a study: finished trials stay, unfinished ones continue, the rest is run."""
    study = Study(directory)
    config, home = study.config, study.home
    with home.locked():
        listen = listeners(config, home, listen)
        data = read_images(config, listen)
        if data.fingerprint != study.about["data"]["fingerprint"]:
            raise RecordError(f"{home.root}: the images are not those that the study began with")
        return _search(config, home, data, listen)


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

    config = study.config
    single = out.suffix == ".keras"
    request = export_request(
        config, study.home, prepared(config), number or 0, ("keras",) if single else formats, out
    )
    write = export_file if single else export_bundle
    return write(dataclasses.replace(request, timed=timed)).manifest


def _search(config: SearchConfig, home: StudyDirectory, data: ImageData, listen: Listen) -> Study:
    from tlsearch.search.cluster import connect
    from tlsearch.search.finish import drop_weights, finish

    with connect(config.resources) as slots:
        from tlsearch.search.runner import run_trials

        listen(began(config, home, slots))

        def announce(trial: TrialRecord, record: StudyRecord) -> None:
            drop_weights(home, record)
            listen(trial_ended(trial, record, config.trials))

        ending = run_trials(config, data, home, slots, announce, listen)
        _note_baselines(config, home, data)
        if not ending.cut_short:
            listen(Exporting())
            finish(config, home, data)
    listen(ended_event(config, home, ending))
    if ending.error is not None:
        raise ending.error
    study = Study(home.root, ending.interrupted)
    write_report(home, study.record(), study.about)
    if study.ended_by is not None:
        return study
    if study.best() is None:
        raise StudyError(f"{home.root}: no trial succeeded; see the logs under trials/")
    return study


def _plain(config: SearchConfig) -> dict[str, Any]:
    import yaml

    plain: dict[str, Any] = yaml.safe_load(dump(config))
    return plain


def _note_baselines(config: SearchConfig, home: StudyDirectory, data: ImageData) -> None:
    from tlsearch.search.baselines import accuracy_baselines

    if config.metric == "accuracy" and home.journal_file.is_file():
        note(home.journal_file, {"baselines": accuracy_baselines(data)})
