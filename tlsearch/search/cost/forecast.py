"""A search's forecast: made for `tlsearch plan`, told and noted by a run where it costs nothing."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FOLDER
from tlsearch.results.live.events import Forecast, Listen, Unforeseen
from tlsearch.results.live.progress import ended as ended_trials
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import note, read
from tlsearch.results.report.forecast_line import FORECAST
from tlsearch.search.cluster.ray_session import slots
from tlsearch.search.cost.calibration import calibrated, remembered
from tlsearch.search.cost.device_choice import device_here
from tlsearch.search.cost.plan import Plan, Survey, plan
from tlsearch.search.cost.survey import of_read, survey
from tlsearch.search.trial.prepared_images import require_weight_files

if TYPE_CHECKING:
    from tlsearch.search.ending import Ending


def forecast(config: SearchConfig) -> tuple[Survey, Plan]:
    """What a search will cost on this machine; measures for some seconds what is not known yet.

    Raises what `run` would raise of the images and of the resources.
    """
    config = config.anchored()
    require_weight_files(config)
    at_a_time = slots(config.resources, _here())
    seen = survey(config)
    device = device_here(config)
    measured = calibrated(config, seen.classes, device)
    return seen, plan(config, measured, seen, at_a_time, device)


@contextlib.contextmanager
def forecasted(
    config: SearchConfig,
    home: StudyDirectory,
    data: ImageData,
    at_a_time: int,
    ending: "Ending",
    listen: Listen,
) -> Iterator[None]:
    """While the trials run: their forecast is told before, and noted beside what came after. In a
    study that goes on both are of the trials that it still owes.
    """
    epochs, ended, spent_s = _so_far(home, ending)
    owed = config.trials - ended
    asked = config.model_copy(update={"trials": max(1, owed)})
    expected = _foreseen(asked, home, data, at_a_time, listen) if owed > 0 else None
    features = config.cache_path / FOLDER
    before = _bytes(features, "*.npy")
    yield
    if expected is not None and not ending.cut_short and home.journal_file.is_file():
        made = max(0, _bytes(features, "*.npy") - before) + _bytes(home.trials, "best.npz")
        trained, _, now_s = _so_far(home, ending)
        _note(home, expected, Forecast(round(now_s - spent_s, 1), trained - epochs, made), owed)


def _so_far(home: StudyDirectory, ending: "Ending") -> tuple[int, int, float]:
    """Epochs trained, trials ended and seconds spent, over all drivers of the study."""
    trials = read(home.journal_file).trials if home.journal_file.is_file() else ()
    return sum(trial.epochs for trial in trials), ended_trials(trials), ending.spent_s


def _foreseen(
    config: SearchConfig, home: StudyDirectory, data: ImageData, at_a_time: int, listen: Listen
) -> Forecast | None:
    """The forecast from what is remembered alone."""
    machine = remembered(config, len(data.classes), home.device())
    if machine is None:
        listen(Unforeseen())
        return None
    made = plan(config, machine, of_read(data), at_a_time)
    event = told(made)
    listen(event)
    return event


def told(made: Plan) -> Forecast:
    """A plan in three numbers."""
    on_disk = made.feature_bytes + made.study_bytes
    return Forecast(round(made.wall_s, 1), round(made.epochs, 1), on_disk)


def _note(home: StudyDirectory, expected: Forecast, actual: Forecast, owed: int) -> None:
    fact = {"expected": asdict(expected), "actual": asdict(actual), "trials": owed}
    note(home.journal_file, {FORECAST: fact})


def _here() -> dict[str, float]:
    """The processors and GPUs of this machine, named as Ray names them."""
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return {"CPU": os.cpu_count() or 1, "GPU": gpus}


def _bytes(folder: Path, pattern: str) -> int:
    """The size of some files below a folder, those that vanish meanwhile left out."""
    sizes = []
    for path in folder.rglob(pattern):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)
