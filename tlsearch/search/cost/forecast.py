"""A search's forecast: made for `tlsearch plan`, told and noted by a run where it costs nothing."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from tlsearch.base.cores import granted_cores
from tlsearch.config.networks.network_memory import require_memory
from tlsearch.config.requirements import require_packages, warn_of_conditions
from tlsearch.config.schema import SearchConfig
from tlsearch.features import FOLDER
from tlsearch.results.live.events import Forecast, Unforeseen
from tlsearch.results.live.progress import ended as ended_trials
from tlsearch.results.record.file_names import BEST
from tlsearch.results.record.journal import TrialRecord
from tlsearch.results.report.forecast_line import FORECAST
from tlsearch.search.cluster.ray_session import slots
from tlsearch.search.cost.calibration import calibrated, remembered
from tlsearch.search.cost.device_choice import device_here
from tlsearch.search.cost.learned import AS_PLANNED, Ratios, expected, keep, kind_of, past_searches
from tlsearch.search.cost.plan import Plan, Survey, plan
from tlsearch.search.cost.survey import of_read, survey
from tlsearch.search.ongoing import Search
from tlsearch.search.trial.prepared_images import require_weight_files


def forecast(config: SearchConfig) -> tuple[Survey, Plan]:
    """What a search will cost on this machine; measures for some seconds what is not known yet.

    Raises what `run` would raise of the images and of the resources.
    """
    config = config.anchored()
    require_weight_files(config)
    require_packages(config)
    require_memory(config)
    warn_of_conditions(config)
    at_a_time = slots(config.resources, _here())
    seen = survey(config)
    device = device_here(config)
    measured = calibrated(config, seen.classes, device)
    ratios = _ratios(config, at_a_time)
    return seen, plan(config, measured, seen, at_a_time, device, ratios)


@contextlib.contextmanager
def forecasted(search: Search) -> Iterator[None]:
    """While the trials run: their forecast is told before them and noted after them, beside what
    they took. In a study that goes on both are of the trials that it still owes.
    """
    before = search.record().trials
    epochs, spent_s = _epochs(before), search.budget.spent_s
    owed = search.config.trials - ended_trials(before)
    expected = _foreseen(search, owed) if owed > 0 else None
    features = search.config.cache_path / FOLDER
    held = _bytes(features, "*.npy")
    yield
    now_s, trials = search.budget.spent_s, search.record().trials
    if expected is not None and not search.ending.cut_short and trials:
        made = max(0, _bytes(features, "*.npy") - held) + _bytes(search.home.trials, BEST)
        actual = Forecast(round(now_s - spent_s, 1), _epochs(trials) - epochs, made)
        fact = {"expected": asdict(expected), "actual": asdict(actual), "trials": owed}
        search.note({FORECAST: fact})


def _epochs(trials: Iterable[TrialRecord]) -> int:
    return sum(trial.epochs for trial in trials)


def _foreseen(search: Search, owed: int) -> Forecast | None:
    """The forecast for so many trials, from what is remembered alone."""
    made = _planned(search, owed, _ratios(search.config, search.slots))
    search.listen(Unforeseen() if made is None else told(made))
    return None if made is None else told(made)


def _planned(search: Search, owed: int, ratios: Ratios) -> Plan | None:
    config = search.config.model_copy(update={"trials": owed})
    machine = remembered(config, len(search.data.classes), search.device)
    if machine is None:
        return None
    return plan(config, machine, of_read(search.data), search.slots, ratios=ratios)


def _ratios(config: SearchConfig, slots: int) -> Ratios:
    return expected(past_searches(config.cache_path, slots), kind_of(config))


@contextlib.contextmanager
def learning(search: Search) -> Iterator[None]:
    """While the search runs to its end: what it took is kept beside its plan, for later searches.

    One that ended before its last trial, or that trained none, tells nothing.
    """
    began_s, before = search.budget.spent_s, search.record().facts.get(FORECAST)
    yield
    fact, ending = search.record().facts.get(FORECAST), search.ending
    if fact is None or fact == before or ending.cut_short or ending.enough or ending.out_of_time:
        return
    made = _planned(search, fact["trials"], AS_PLANNED)
    trials_s = fact["actual"]["seconds"]
    after_s = search.budget.spent_s - began_s - trials_s
    if made is not None and min(trials_s, after_s) > 0:
        ratios = Ratios(trials_s / made.wall_s, after_s / (made.confirm_s + made.export_s))
        keep(search.config.cache_path, search.config, search.slots, ratios)


def told(made: Plan) -> Forecast:
    """A plan in few numbers."""
    on_disk = made.feature_bytes + made.study_bytes
    return Forecast(
        round(made.wall_s, 1),
        round(made.epochs, 1),
        on_disk,
        round(made.confirm_s, 1),
        round(made.export_s, 1),
    )


def _here() -> dict[str, float]:
    """The processors and GPUs of this machine, named as Ray names them."""
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return {"CPU": granted_cores(), "GPU": gpus}


def _bytes(folder: Path, pattern: str) -> int:
    """The size of some files below a folder, those that vanish meanwhile left out."""
    sizes = []
    for path in folder.rglob(pattern):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)
