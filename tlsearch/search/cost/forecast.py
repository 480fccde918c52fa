"""The forecast of a search: computed by `tlsearch plan`, shown and recorded by a run if nothing has
to be measured for it.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from tlsearch.base.cores import granted_cores
from tlsearch.config.networks.network_memory import require_memory
from tlsearch.config.requirements import require_packages, warn_before_search
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.features import FOLDER
from tlsearch.results.live.events import Forecast, NoForecast
from tlsearch.results.live.progress import count_ended as ended_trials
from tlsearch.results.rank.confirmation import runs_of
from tlsearch.results.record.file_names import BEST
from tlsearch.results.record.journal import TrialRecord
from tlsearch.results.report.forecast_line import FORECAST
from tlsearch.search.cluster.ray_session import count_slots
from tlsearch.search.cost.calibration import calibrate, remembered_paces
from tlsearch.search.cost.device_choice import device_here
from tlsearch.search.cost.learned import (
    AS_PLANNED,
    Ratios,
    expected_ratios,
    kind_of,
    past_searches,
    remember_ratios,
)
from tlsearch.search.cost.plan import Plan, plan
from tlsearch.search.cost.survey import Survey, of_read, survey
from tlsearch.search.ongoing import Search
from tlsearch.search.propose.first_trials import first_trials
from tlsearch.search.propose.prior import Sizes
from tlsearch.search.trial.prepared_images import require_weight_files


def forecast(config: SearchConfig) -> tuple[Survey, Plan]:
    """Return the survey of the data set and the forecast of a search on this machine.

    Measures for some seconds what is not remembered. Raises the errors that `run` would raise for
    the images and the resources.
    """
    config = config.anchored()
    require_weight_files(config)
    require_packages(config)
    require_memory(config)
    warn_before_search(config)
    at_a_time = count_slots(config.resources, _here())
    seen = survey(config)
    device = device_here(config)
    measured = calibrate(config, seen.classes, device, at_a_time)
    ratios, first = _ratios(config, at_a_time), _first(config, seen, at_a_time)
    return seen, plan(config, measured, seen, at_a_time, device, ratios, first)


@contextlib.contextmanager
def report_forecast(search: Search) -> Iterator[None]:
    """Report the forecast before the block, which runs the trials, and record it after the block
    with the actual numbers. In a resumed study, both are for the remaining trials.
    """
    before = search.record().trials
    epochs, spent_s = _epochs(before), search.budget.spent_s
    remaining = search.config.trials - ended_trials(before)
    expected = _forecast_from_memory(search, remaining) if remaining > 0 else None
    features = search.config.cache_path / FOLDER
    held = _bytes(features, "*.npy")
    yield
    now_s, trials = search.budget.spent_s, search.record().trials
    if expected is not None and not search.ending.cut_short and trials:
        made = max(0, _bytes(features, "*.npy") - held) + _bytes(search.home.trials, BEST)
        actual = Forecast(round(now_s - spent_s, 1), _epochs(trials) - epochs, made)
        fact = {"expected": asdict(expected), "actual": asdict(actual), "trials": remaining}
        search.note({FORECAST: fact})


def _epochs(trials: Iterable[TrialRecord]) -> int:
    return sum(trial.epochs for trial in trials)


def _forecast_from_memory(search: Search, remaining: int) -> Forecast | None:
    """Report and return the forecast for `remaining` trials, from remembered measurements alone.

    Returns None if measurements are missing.
    """
    made = _plan_from_memory(search, remaining, _ratios(search.config, search.slots))
    if made is None:
        search.listen(NoForecast())
        return None
    found = plan_summary(made, time.monotonic() - search.began)
    search.listen(found)
    return found


def _plan_from_memory(search: Search, remaining: int, ratios: Ratios) -> Plan | None:
    config = search.config.model_copy(update={"trials": remaining})
    slots, seen = search.slots, of_read(search.data)
    machine = remembered_paces(config, seen.classes, search.device, slots)
    if machine is None:
        return None
    first = _first(search.config, seen, slots)[search.config.trials - remaining :]
    return plan(config, machine, seen, slots, ratios=ratios, first=first)


def _first(config: SearchConfig, seen: Survey, slots: int) -> list[TrialConfig]:
    return first_trials(config, Sizes(seen.images["train"], seen.classes), slots)


def _ratios(config: SearchConfig, slots: int) -> Ratios:
    return expected_ratios(past_searches(config.cache_path, slots), kind_of(config))


@contextlib.contextmanager
def learn_from_search(search: Search) -> Iterator[None]:
    """Remember the time of the search that the block runs, relative to its plan, for later ones.

    Nothing is remembered if the search ended before its last trial, trained none or had no
    forecast.
    """
    start_s, before = search.budget.driver_s, search.record().facts
    yield
    facts, ending = search.record().facts, search.ending
    fact, exported_s = facts.get(FORECAST), search.budget.export_began_s
    if fact is None or fact == before.get(FORECAST) or exported_s is None:
        return
    if ending.cut_short or ending.enough or ending.out_of_time:
        return
    made = _plan_from_memory(search, fact["trials"], AS_PLANNED)
    trials_s = fact["actual"]["seconds"]
    confirm_s, export_s = exported_s - start_s - trials_s, search.budget.driver_s - exported_s
    if made is not None and min(start_s, trials_s, confirm_s, export_s) > 0:
        confirmed = made.confirm_s > 0 and len(runs_of(facts)) > len(runs_of(before))
        ratios = Ratios(
            start_s / made.ray_s,
            trials_s / (made.wall_s - made.ray_s),
            confirm_s / made.confirm_s if confirmed else 1.0,
            export_s / made.export_s,
        )
        with ending.on_disk_error():
            remember_ratios(search.config.cache_path, search.config, search.slots, ratios)


def plan_summary(made: Plan, before_s: float) -> Forecast:
    """Return the summary of a plan, `before_s` seconds after the command began, when Ray has
    started.
    """
    on_disk = made.feature_bytes + made.study_bytes
    return Forecast(
        round(made.wall_s - made.ray_s, 1),
        round(made.epochs, 1),
        on_disk,
        round(made.confirm_s, 1),
        round(made.export_s, 1),
        round(before_s, 1),
        made.candidates,
        round(made.round_s, 1),
    )


def _here() -> dict[str, float]:
    """Return the CPU cores and GPUs of this machine, with Ray's names of the resources."""
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return {"CPU": granted_cores(), "GPU": gpus}


def _bytes(folder: Path, pattern: str) -> int:
    """Return the total size of matching files below a folder; files that vanish are skipped."""
    sizes = []
    for path in folder.rglob(pattern):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)
