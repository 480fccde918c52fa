"""A search's forecast: made for `tlsearch plan`, told and noted by a run where it costs nothing."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FOLDER
from tlsearch.results.live.events import Forecast, Listen, Unforeseen
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import note, read
from tlsearch.results.report.forecast_line import FORECAST
from tlsearch.search.cluster.ray_session import slots
from tlsearch.search.cost.calibration import calibrated, remembered
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
    return seen, plan(config, calibrated(config, seen.classes), seen, at_a_time)


@contextlib.contextmanager
def forecasted(
    config: SearchConfig,
    home: StudyDirectory,
    data: ImageData,
    at_a_time: int,
    ending: "Ending",
    listen: Listen,
) -> Iterator[None]:
    """While the trials run: their forecast is told before, and noted beside what came after."""
    expected = _foreseen(config, data, at_a_time, listen)
    features = config.cache_path / FOLDER
    before = _bytes(features, "*.npy")
    yield
    if expected is not None and not ending.cut_short and home.journal_file.is_file():
        made = max(0, _bytes(features, "*.npy") - before) + _bytes(home.trials, "best.npz")
        _note(home, expected, ending.spent_s, made)


def _foreseen(
    config: SearchConfig, data: ImageData, at_a_time: int, listen: Listen
) -> Forecast | None:
    """The forecast from what is remembered alone."""
    machine = remembered(config, len(data.classes))
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


def _note(home: StudyDirectory, expected: Forecast, spent_s: float, made_bytes: int) -> None:
    epochs = sum(trial.epochs for trial in read(home.journal_file).trials)
    fact = {
        "expected": {
            "seconds": expected.seconds,
            "epochs": expected.epochs,
            "bytes": expected.bytes,
        },
        "actual": {"seconds": round(spent_s, 1), "epochs": epochs, "bytes": made_bytes},
    }
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
