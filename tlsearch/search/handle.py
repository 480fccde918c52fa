"""The Python handle of a study: its ranking, its weights, its models."""

import dataclasses
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tlsearch.base.errors import ConfigError, RecordError, TlsearchError
from tlsearch.base.phases import phase
from tlsearch.bundle.export_request import EXPORTING
from tlsearch.bundle.manifest import locate, read_manifest
from tlsearch.bundle.runtimes import load_keras
from tlsearch.config.dataset import FIRST_RULES
from tlsearch.config.extras import known_formats, require_formats
from tlsearch.config.load import from_mapping
from tlsearch.config.location import Location, as_location
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.results.live.events import Listen
from tlsearch.results.rank.confirmation import Winner, winner
from tlsearch.results.rank.leaderboard import leaderboard, to_table
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import CURVE, in_trial
from tlsearch.results.record.journal import EXPORTED, LEFT_OUT, StudyRecord, TrialRecord
from tlsearch.results.record.study_file import damaged_config
from tlsearch.results.remote.copies import fetch_file, readable_copy
from tlsearch.results.report.comparison import compare as compare_locations
from tlsearch.results.report.page_files import Artifacts
from tlsearch.results.report.study_card import study_html
from tlsearch.search.requested import Space, checked_config
from tlsearch.search.trial.prepared_images import prepare_images
from tlsearch.store.users import mark_used

if TYPE_CHECKING:
    import pandas as pd

    from tlsearch.bundle.manifest import Manifest
    from tlsearch.search.cost.plan import Plan


# Functions of modules that import this one, so they are imported when they are called.
_ABOVE = {
    "resume": "tlsearch.search.study:resume",
    "replay": "tlsearch.search.replay:replay",
}


class Study:
    """A study on disk or in a bucket: its configuration, its trials, its results."""

    def __init__(
        self, directory: Location | StudyDirectory, ended_by: TlsearchError | None = None
    ) -> None:
        self.home = directory if isinstance(directory, StudyDirectory) else readable_copy(directory)
        self.about = self.home.read_about()
        self.ended_by = ended_by  # why the run that made this object is incomplete, if it is

    def __repr__(self) -> str:
        return f"Study({self.home.location!r})"

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows for the study."""
        best, note = self.home.best, self.ended_by
        return study_html(self.home.location, leaderboard(self.record(), self.about, best), note)

    @property
    def config(self) -> SearchConfig:
        """The configuration of the search, with the version of the rules for splitting and scaling
        images that the study began with; raises RecordError if study.yaml holds none.
        """
        values: dict[str, Any] = self.about["config"]
        # a study that names no version of the rules uses the first one
        data = values.get("data", {})
        data = {"rules": FIRST_RULES, **data} if isinstance(data, dict) else data
        file = self.home.study_file
        try:
            return from_mapping({**values, "data": data}, str(file), recorded=True)
        except ConfigError as error:
            raise damaged_config(file, error) from error

    def record(self) -> StudyRecord:
        """Read the whole record of the study from its journal."""
        return self.home.journal.record()

    def leaderboard(self) -> "pd.DataFrame":
        """Return one row per trial as a pandas table: ranked trials first, then the others."""
        return to_table(leaderboard(self.record(), self.about, self.home.best).rows)

    def winner(self) -> TrialRecord | None:
        """Return the trial that is exported and tested: the confirmed one, or the best so far if
        none was confirmed; None before the first value.
        """
        record = self.record()
        won = winner(record)
        return None if won is None else record.trials[won.trial]

    def curves(self, trial: int | None = None) -> "pd.DataFrame":
        """Return the learning curve of a trial, by default the winner's, as a pandas table: one row
        per epoch, with the columns epoch, value, train_loss, validation_loss, seconds, ...
        """
        import pandas as pd

        number = self._number(trial)
        fetch_file(self.home, in_trial(number, CURVE))
        return pd.DataFrame(Artifacts(self.home).curves(number))

    def best_model(self) -> Any:
        """Return the winner as a `keras.Model`. Imports TensorFlow.

        The model takes RGB images of any size, (n, height, width, 3) from 0 to 255, and returns
        probabilities, (n, classes). If the study holds no `.keras` file of the winner, it is
        exported first, which reads the study's images.
        """
        if self.model_path() is not None:
            manifest = read_manifest(self.home.best)
            if "keras" in {artifact.format for artifact in manifest.artifacts}:
                return load_keras(locate(self.home.best, manifest.artifact("keras")))
        with TemporaryDirectory() as folder:
            export(self, Path(folder) / "model.keras")
            return load_keras(Path(folder) / "model.keras")

    def export(
        self,
        out: str | Path,
        trial: int | None = None,
        formats: Sequence[str] = ("keras",),
        timed: bool = False,
    ) -> "Manifest":
        """Write a trial's model, by default the winner's, as `tlsearch.export` does."""
        return export(self, out, trial, formats, timed)

    def replay(self, trial: int | None = None) -> Any:
        """Train a trial again, by default the winner, and compare it with its record, as
        `tlsearch.replay` does. Raises ConfigError if TensorFlow already runs in this process with
        another number of threads than the trial had.
        """
        return _above("replay")(self, self._number(trial))

    def resume(self, *, listen: Listen | None = None, **changes: Any) -> "Study":
        """Continue the study, or extend it by `trials`, `time` and `settings`, as
        `tlsearch.resume` does.
        """
        study: Study = _above("resume")(self, listen, **changes)
        return study

    def _number(self, trial: int | None) -> int:
        """The number of a trial, by default the winner; raises RecordError if there is no such
        trial.
        """
        known = {one.number for one in self.record().trials}
        first = self.winner() if trial is None else None
        number = first.number if first is not None else trial
        if number is None:
            raise RecordError(f"{self.home.root}: no trial has been ranked yet")
        if number not in known:
            raise RecordError(f"{self.home.root}: there is no trial {number}")
        return number

    def model_path(self) -> Path | None:
        """Return the winner's first exported file; None if the winner was not exported."""
        record = self.record()
        won = winner(record)
        exported = won is not None and record.facts.get(EXPORTED) == won.to_json()
        if not exported or not self.home.best.is_dir():
            return None
        return self.home.best / read_manifest(self.home.best).artifacts[0].path

    def left_out(self) -> dict[str, str]:
        """Return the formats that the exported model lacks, each with the reason."""
        return dict(self.record().facts.get(LEFT_OUT, {}))

    def weights_path(self, trial: int | None = None) -> Path:
        """Return the file of the kept weights of a trial, by default the winner's.

        Raises RecordError if none were kept, or if they are not those that the journal recorded.
        """
        from tlsearch.search.winner.finish import require_kept

        kept = self.kept_weights(trial)
        require_kept(self.home, self.record(), kept)
        return self.home.trial(kept.trial) / kept.weights

    def kept_weights(self, trial: int | None = None) -> Winner:
        """Return which weights of a trial were kept, by default the winner's; raises RecordError if
        there are none.
        """
        record = self.record()
        won = winner(record)
        if won is None:
            raise RecordError(f"{self.home.root}: no trial has been ranked yet")
        kept = won if trial in (None, won.trial) else Winner(trial or 0)
        if kept.trial not in {one.number for one in record.trials}:
            raise RecordError(f"{self.home.root}: there is no trial {kept.trial}")
        fetch_file(self.home, in_trial(kept.trial, kept.weights))
        if not (self.home.trial(kept.trial) / kept.weights).is_file():
            raise RecordError(
                f"{self.home.root}: the weights of trial {kept.trial} were not kept; "
                "only those of the best trials are"
            )
        return kept


def require_same_images(study: Study, data: ImageData) -> None:
    """Raise RecordError if the images, classes or splits are not those the study began with."""
    if data.fingerprint != study.about.get("data", {}).get("fingerprint"):
        raise RecordError(
            f"{study.home.root}: the images, their classes or splits are not those that the study "
            "began with; restore them, or start a new study"
        )


def _above(name: str) -> Callable[..., Any]:
    module, _, function = _ABOVE[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def open_study(study: Study | Location) -> Study:
    """Return the study itself, or open the one at a path or a URL."""
    return study if isinstance(study, Study) else Study(as_location(study))


def location_of(study: Study | Location) -> Location:
    """Return the path or URL of a study."""
    return (study.home.url or study.home.root) if isinstance(study, Study) else as_location(study)


def report(study: Study | Location) -> "pd.DataFrame":
    """Return one row per trial of a study as a pandas table; its search may still be running."""
    return open_study(study).leaderboard()


def compare(studies: Sequence[Study | Location]) -> "pd.DataFrame":
    """Compare studies in a pandas table, one row each; `seconds` is the sum over its trials."""
    return compare_locations([location_of(study) for study in studies])


def plan(space: Space, settings: Sequence[str] = ()) -> "Plan":
    """Forecast the cost of a search: time, disk, memory, and what the cache keeps.

    Measures the backbones for some seconds on this machine. Raises what `run` would raise before
    its first trial.
    """
    from tlsearch.search.cost.forecast import forecast

    return forecast(checked_config(space, settings))[1]


def export(
    study: Study | Location,
    out: str | Path,
    trial: int | None = None,
    formats: Sequence[str] = ("keras",),
    timed: bool = False,
) -> "Manifest":
    """Write a trial's model, by default the winner's, as a bundle, or as one file if `out` ends in
    `.keras`. Every file is compared with the trained network.

    Imports TensorFlow. Reads the study's images, to compare on the validation split. A format that
    fails is left out, and the manifest says why. Raises ConfigError if `formats` names an unknown
    format.
    """
    study, out, chosen = open_study(study), Path(out), known_formats(formats)
    require_formats(chosen)
    kept = study.kept_weights(trial)
    from tlsearch.search.winner.finish import export_request
    from tlsearch.training.export.exporter import export_bundle, export_file

    config, single = study.config, out.suffix == ".keras"
    data = prepare_images(config)
    require_same_images(study, data)
    formats = ("keras",) if single else chosen
    request = export_request(config, study.home, data, study.record(), kept, formats, out)
    write = export_file if single else export_bundle
    with mark_used(data.images_path), phase(EXPORTING, len(request.formats), "formats"):
        return write(dataclasses.replace(request, timed=timed)).manifest
