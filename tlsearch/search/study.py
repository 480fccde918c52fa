"""The story of one search: data -> trials -> winner -> export -> report."""

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlsearch.config.catalog import BACKBONES, CIFAR10_CLASSES, WEIGHTS
from tlsearch.config.load import dump, from_mapping
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData, prepare
from tlsearch.errors import ConfigError, RecordError, SearchInterruptedError, StudyError
from tlsearch.results.beside import beside
from tlsearch.results.events import (
    DataRead,
    DataReading,
    Exporting,
    Listen,
    StudyBegan,
    StudyEnded,
    guarded,
)
from tlsearch.results.journal import StudyRecord, TrialRecord, note, read
from tlsearch.results.leaderboard import ranked, table
from tlsearch.results.live import ended, trial_ended
from tlsearch.results.report import write_report
from tlsearch.results.storage import StudyDirectory
from tlsearch.search.artifacts import write_data

if TYPE_CHECKING:
    import pandas as pd

    from tlsearch.bundle.manifest import Manifest
    from tlsearch.search.ending import Ending

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
    _require_weight_files(config)
    home = StudyDirectory(directory or config.storage / config.name)
    home.refuse_existing()
    with home.locked():
        home.refuse_existing()
        listen = _listeners(config, home, listen)
        data = _prepare(config, listen)
        home.write_about(_plain(config), data=_describe(data))
        write_data(home.artifacts, data)
        return _search(config, home, data, listen)


def resume(directory: Path, listen: Listen = log.info) -> Study:
    """Go on with a study: finished trials stay, unfinished ones continue, the rest is run."""
    study = Study(directory)
    config, home = study.config, study.home
    with home.locked():
        listen = _listeners(config, home, listen)
        data = _prepare(config, listen)
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
        config, study.home, _prepared(config), number or 0, ("keras",) if single else formats, out
    )
    write = export_file if single else export_bundle
    return write(dataclasses.replace(request, timed=timed)).manifest


def _search(config: SearchConfig, home: StudyDirectory, data: ImageData, listen: Listen) -> Study:
    from tlsearch.search.cluster import connect
    from tlsearch.search.finish import drop_weights, finish

    with connect(config.resources) as slots:
        from tlsearch.search.runner import run_trials

        listen(_began(config, home, slots))

        def announce(trial: TrialRecord, record: StudyRecord) -> None:
            drop_weights(home, record)
            listen(trial_ended(trial, record, config.trials))

        ending = run_trials(config, data, home, slots, announce, listen)
        _note_baselines(config, home, data)
        if not ending.cut_short:
            listen(Exporting())
            finish(config, home, data)
    listen(StudyEnded(_why(ending), _ended(home), config.trials))
    if ending.error is not None:
        raise ending.error
    study = Study(home.root, ending.interrupted)
    write_report(home, study.record(), study.about)
    if study.ended_by is not None:
        return study
    if study.best() is None:
        raise StudyError(f"{home.root}: no trial succeeded; see the logs under trials/")
    return study


def _listeners(config: SearchConfig, home: StudyDirectory, listen: Listen) -> Listen:
    if not config.tensorboard:
        return guarded(listen)
    from tlsearch.results.tensorboard import TensorBoard

    return guarded(listen, TensorBoard(home.root / "tensorboard"))


def _began(config: SearchConfig, home: StudyDirectory, slots: int) -> StudyBegan:
    return StudyBegan(
        directory=str(home.root),
        name=config.name,
        metric=config.metric,
        direction=config.direction,
        trials=config.trials,
        epochs=config.epochs,
        slots=slots,
        ended=_ended(home),
    )


def _ended(home: StudyDirectory) -> int:
    return ended(read(home.journal_file).trials) if home.journal_file.is_file() else 0


def _why(ending: "Ending") -> str:
    if ending.error is not None:
        return "failed"
    if ending.interrupted is not None:
        return "interrupted"
    return "out of time" if ending.out_of_time else "finished"


def _prepare(config: SearchConfig, listen: Listen) -> ImageData:
    listen(DataReading(config.data.kind))
    data = _prepared(config)
    listen(DataRead(len(data.classes), _sizes(data)))
    _refuse_leakage(config, data)
    return data


def _prepared(config: SearchConfig) -> ImageData:
    if config.data.kind != "tfds":
        return prepare(config.data, config.cache_path)
    from tlsearch.search.cluster import connect, in_worker

    with connect(config.resources):  # TFDS imports TensorFlow, which the driver never does
        return in_worker(prepare, config.data, config.cache_path)


def _require_weight_files(config: SearchConfig) -> None:
    files = [name for name in config.space.weights.values if name not in WEIGHTS]
    missing = [name for name in files if not Path(name).is_file()]
    if missing:
        raise ConfigError([f"space.weights: {name}: no such weight file" for name in missing])


def _refuse_leakage(config: SearchConfig, data: ImageData) -> None:
    """A backbone pretrained on CIFAR-10 has seen CIFAR-10: its scores there mean nothing."""
    if frozenset(data.classes) != CIFAR10_CLASSES:
        return
    seen = [n for n in config.space.backbone.values if BACKBONES[n].trained_on == "cifar10 train"]
    if seen:
        raise ConfigError(
            [f"space.backbone: {', '.join(seen)} was pretrained on CIFAR-10, which this data is"]
        )


def _describe(data: ImageData) -> dict[str, Any]:
    return {
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "images": _sizes(data),
    }


def _sizes(data: ImageData) -> dict[str, int]:
    return {split: len(rows) for split, rows in data.splits.items()}


def _plain(config: SearchConfig) -> dict[str, Any]:
    import yaml

    plain: dict[str, Any] = yaml.safe_load(dump(config))
    return plain


def _note_baselines(config: SearchConfig, home: StudyDirectory, data: ImageData) -> None:
    from tlsearch.search.baselines import accuracy_baselines

    if config.metric == "accuracy" and home.journal_file.is_file():
        note(home.journal_file, {"baselines": accuracy_baselines(data)})
