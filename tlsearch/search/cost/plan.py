"""The arithmetic of a forecast: a search's time, memory and disk from measured speeds of steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.scheduler import rungs_of
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import trials_budget_s
from tlsearch.search.cost.cache_plan import CacheChoice
from tlsearch.search.cost.calibration import Calibration
from tlsearch.search.cost.costs import RAY_START_S, Costs, Seconds
from tlsearch.search.cost.learned import AS_PLANNED, Ratios
from tlsearch.search.cost.survey import Survey
from tlsearch.search.cost.survival import trials_reaching

CHANNELS = 3  # of a decoded image, one byte each


@dataclass(frozen=True)
class Rung:
    """The expected number of trials at a rung, an epoch after which trials are compared."""

    epoch: int
    trials: float


@dataclass(frozen=True)
class Plan:
    """The forecast of a search.

    `epochs` and `rungs` are expected numbers. `wall_s` is the time of the trials, from Ray's start
    to the end of the last trial; starting Ray takes `ray_s` of it. Decoding comes before it, in
    `seconds.decode`. After the trials, confirming and refining the winner take `confirm_s`, of
    which a round of its `candidates` takes `round_s`; exporting, testing and reporting it take
    `export_s`.

    `slot_bytes` is the memory of one slot, `after_bytes` that of the largest process after the
    trials: one that confirms, or the one that exports and tests. On disk, `image_bytes` are the
    decoded images, `feature_bytes` the kept features, `study_bytes` the kept weights. `device`
    describes the device profile of the trials.
    """

    trials: int
    slots: int
    epochs: float
    rungs: tuple[Rung, ...]
    seconds: Seconds
    ray_s: float
    wall_s: float
    candidates: int
    round_s: float
    confirm_s: float
    export_s: float
    out_of_time: bool
    features: tuple[CacheChoice, ...]
    image_bytes: int
    feature_bytes: int
    study_bytes: int
    slot_bytes: int
    after_bytes: int
    device: str = str(CPU_PROFILE)

    @property
    def whole_s(self) -> float:
        """The seconds from decoding the first image to the end of the command."""
        return self.seconds.decode + self.wall_s + self.confirm_s + self.export_s


def plan(
    config: SearchConfig,
    calibration: Calibration,
    survey: Survey,
    slots: int,
    device: DeviceProfile = CPU_PROFILE,
    ratios: Ratios = AS_PLANNED,
    first: Sequence[TrialConfig] = (),
) -> Plan:
    """Return the forecast of a search whose trials compute on `device`.

    It assumes that the cache holds no features of the images. `ratios` are the times of past
    searches relative to their plans. `first` are the first trials, as far as they are known.
    """
    costs = Costs(config, calibration, survey, slots, first)
    trained = trials_reaching(config.scheduler, config.epochs, config.trials)
    seconds = costs.seconds(trained)
    work = seconds.prefixes + seconds.tracing + seconds.training
    ray_s = ratios.start * RAY_START_S
    trials_s = calibration.start_s + max(work / slots, costs.longest_trial())
    wall_s = ray_s + ratios.trials * trials_s
    confirm_s = ratios.confirm * costs.confirmation_s(work) if config.confirm else 0.0
    budget = trials_budget_s(config.time_budget, 0.0, config.confirm > 0)
    return Plan(
        trials=config.trials,
        slots=slots,
        epochs=sum(trained),
        rungs=tuple(Rung(e, trained[e - 1]) for e in rungs_of(config.scheduler, config.epochs)),
        seconds=seconds,
        ray_s=ray_s,
        wall_s=wall_s if budget is None else min(wall_s, budget),
        candidates=costs.candidates,
        round_s=ratios.confirm * costs.round_s(costs.candidates),
        confirm_s=confirm_s,
        export_s=ratios.export * costs.exporting(),
        out_of_time=budget is not None and wall_s > budget,
        features=costs.features,
        image_bytes=sum(survey.images.values()) * config.data.image_px**2 * CHANNELS,
        feature_bytes=sum(kept.bytes for kept in costs.features if kept.cached),
        study_bytes=costs.study_bytes(),
        slot_bytes=costs.slot_bytes(),
        after_bytes=costs.after_bytes(),
        device=str(device),
    )
