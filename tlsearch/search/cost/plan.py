"""What a search will cost, from what its machine takes for a step: arithmetic, nothing else."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.scheduler import rungs_of
from tlsearch.config.schema import SearchConfig
from tlsearch.pace import POOLED, Pace, Suffix
from tlsearch.results.rank.confirmation import FRESH_SHARE, SHARE, search_budget
from tlsearch.results.rank.standings import KEPT_TRIALS
from tlsearch.search.cost.cache_plan import Kept, choices
from tlsearch.search.cost.calibration import Calibration
from tlsearch.search.cost.learned import AS_PLANNED, Ratios
from tlsearch.search.cost.survival import Reaching, reaching

RAY_START_S = 3.0
TRIAL_S = 0.1  # beyond its epochs: proposing, scheduling, reporting
EPOCH_S = 0.005
STARTUP_TRIALS = 10  # that are drawn at random
TURNED = 0.5
WEIGHT_BYTES = 4
CHANNELS = 3  # of a decoded image, a byte each
EXPORT_BYTES = 2 * 10**9  # that exporting and testing take at most, beyond the process itself


@dataclass(frozen=True)
class Survey:
    """A data set before it is read whole: how many classes, images a split, and the seconds that
    decoding what is not decoded yet will take.
    """

    classes: int
    images: Mapping[str, int]
    decode_s: float


@dataclass(frozen=True)
class Rung:
    """How many trials are expected at an epoch where trials are compared."""

    epoch: int
    trials: float


@dataclass(frozen=True)
class Seconds:
    """Where the time goes; all but decoding and starting is summed over the slots."""

    decode: float
    start: float
    prefixes: float
    tracing: float
    training: float


@dataclass(frozen=True)
class Plan:
    """A forecast. `epochs` and `rungs` are expected numbers, `wall_s` is that of the trials, from
    Ray's start to the last trial's end, with decoding before it in `seconds.decode`; confirming and
    refining the winner then takes `confirm_s`, exporting, testing and reporting it `export_s`.

    `slot_bytes` is the memory of one slot, `after_bytes` that of the largest process after the
    trials: one that confirms, or the one that exports and tests. On disk, `image_bytes` are the
    decoded images, `study_bytes` the weights that are kept. `device` says in words how trials
    compute.
    """

    trials: int
    slots: int
    epochs: float
    rungs: tuple[Rung, ...]
    seconds: Seconds
    wall_s: float
    confirm_s: float
    export_s: float
    out_of_time: bool
    features: tuple[Kept, ...]
    image_bytes: int
    feature_bytes: int
    study_bytes: int
    slot_bytes: int
    after_bytes: int
    device: str = str(CPU_PROFILE)

    @property
    def whole_s(self) -> float:
        """From the first picture to the report."""
        return self.seconds.decode + self.wall_s + self.confirm_s + self.export_s


def plan(
    config: SearchConfig,
    calibration: Calibration,
    survey: Survey,
    slots: int,
    device: DeviceProfile = CPU_PROFILE,
    ratios: Ratios = AS_PLANNED,
) -> Plan:
    """The forecast of a search that finds no features of its images in the cache, and whose trials
    compute on this device. `ratios` are those of what searches took to what was planned.
    """
    costs = _Costs(config, calibration, survey, slots)
    trained = reaching(config.scheduler, config.epochs, config.trials)
    seconds = costs.seconds(trained)
    work = seconds.prefixes + seconds.tracing + seconds.training
    wall_s = ratios.trials * (seconds.start + max(work / slots, costs.longest_trial()))
    confirm_s = ratios.after * costs.confirming(work) if config.confirm else 0.0
    budget = search_budget(config.time_budget, 0.0, config.confirm > 0)
    return Plan(
        trials=config.trials,
        slots=slots,
        epochs=sum(trained),
        rungs=tuple(Rung(e, trained[e - 1]) for e in rungs_of(config.scheduler, config.epochs)),
        seconds=seconds,
        wall_s=wall_s if budget is None else min(wall_s, budget),
        confirm_s=confirm_s,
        export_s=ratios.after * costs.exporting(),
        out_of_time=budget is not None and wall_s > budget,
        features=costs.features,
        image_bytes=sum(survey.images.values()) * config.data.image_px**2 * CHANNELS,
        feature_bytes=sum(kept.bytes for kept in costs.features if kept.kept),
        study_bytes=costs.study_bytes(),
        slot_bytes=costs.slot_bytes(),
        after_bytes=costs.after_bytes(),
        device=str(device),
    )


def distinct(kinds: int, draws: float) -> float:
    """How many of so many equally likely kinds are expected among some draws."""
    return kinds * (1 - (1 - 1 / kinds) ** draws) if kinds > 1 else min(1.0, draws)


class _Costs:
    """Sums over the kinds of trials that a space has, each as likely as the others."""

    def __init__(
        self, config: SearchConfig, calibration: Calibration, survey: Survey, slots: int
    ) -> None:
        self._config, self._machine = config, calibration
        self._survey, self._slots = survey, slots
        self._train, self._validation = survey.images["train"], survey.images["validation"]
        self.features = choices(config, calibration, survey.images)
        self._heads = len(config.space.head_units.values)
        self._kinds = [
            (
                calibration.paces[kept.backbone],
                calibration.paces[kept.backbone].suffix(kept.depth),
                kept,
            )
            for kept in self.features
            if kept.depth in config.space.prefix_depths(kept.backbone)
        ]
        self._networks = [kept for kept in self.features if kept.cut_name == POOLED]

    def seconds(self, trained: Reaching) -> Seconds:
        """All that the search takes, where so many trials train each epoch."""
        return Seconds(
            decode=self._survey.decode_s,
            start=RAY_START_S + self._machine.start_s,
            prefixes=self._prefixes(),
            tracing=self._slots * self._tracing(self._config.trials / self._slots),
            training=self._training(trained),
        )

    def longest_trial(self) -> float:
        """A trial of the middle sort that is never stopped, in a process that just started."""
        passes = _mean(self._pass(kept) for kept in self._networks)
        epochs = self._config.epochs * self._epoch() + self._warm_up() + TRIAL_S
        return self._tracing(1) + passes / min(self._slots, len(self._networks)) + epochs

    def confirming(self, work_s: float) -> float:
        """The longer of a round of all candidates and the share that several rounds may take; then
        the refinement, which is one run, where the study augments.
        """
        refining = 0.0 if self._config.augment.nothing else (1 - FRESH_SHARE) * SHARE * work_s
        whole_s = self._config.epochs * self._epoch() + self._warm_up() + TRIAL_S
        candidates = min(self._config.confirm, self._config.trials)
        a_round = math.ceil(candidates / self._slots) * whole_s
        return max(a_round, FRESH_SHARE * SHARE * work_s / self._slots) + refining

    def exporting(self) -> float:
        """A process that starts, and passes over the pictures that verify each file and test it."""
        machine, asked = self._machine, 1 + len(self._config.export)
        paces = [machine.paces[kept.backbone] for kept in self._networks]
        pictures = asked * self._validation + self._survey.images.get("test", 0)
        tracing = asked * max(pace.trace_s for pace in paces)
        return machine.start_s + tracing + pictures * max(pace.pass_s for pace in paces)

    def study_bytes(self) -> int:
        """The changed weights of the trials that are kept, were they the largest."""
        largest = max(suffix.trained for _, suffix, _ in self._kinds)
        return min(KEPT_TRIALS, self._config.trials) * largest * WEIGHT_BYTES

    def slot_bytes(self) -> int:
        """A process, and the rows that it holds in memory."""
        rows = sum(kept.bytes for kept in self.features if kept.kept)
        return self._machine.memory_bytes + min(rows, self._machine.resident_bytes)

    def after_bytes(self) -> int:
        """The larger one of a process that trains again and of the one that exports and tests."""
        exporting = self._machine.memory_bytes + EXPORT_BYTES
        return max(self.slot_bytes(), exporting) if self._config.confirm else exporting

    def _training(self, trained: Reaching) -> float:
        trials = self._config.trials
        warm = len(self._networks) * self._heads
        warm_ups = self._slots * distinct(warm, trials / self._slots) * self._warm_up()
        return sum(trained) * self._epoch() + trials * TRIAL_S + warm_ups

    def _epoch(self) -> float:
        """The mean over the kinds; the trials that a sampler proposes once it has learned turn from
        there to the costliest kind, half of the way.
        """
        every = [self._epoch_of(*kind) for kind in self._kinds]
        learned = max(0, self._config.trials - STARTUP_TRIALS) / self._config.trials
        return fmean(every) + TURNED * learned * (max(every) - fmean(every)) + EPOCH_S

    def _epoch_of(self, pace: Pace, suffix: Suffix, kept: Kept) -> float:
        taken = self._train * suffix.train_s + self._validation * suffix.predict_s
        images = self._train + self._validation
        if not kept.kept:
            shown = self._train * self._machine.show_s
            return taken + shown + images * pace.pass_s * suffix.share
        row = suffix.numbers * np.dtype(self._config.feature_dtype).itemsize
        return taken + images * row * self._machine.disk.read_s

    def _warm_up(self) -> float:
        heads = [self._machine.paces[kept.backbone].suffix(Depth(0)) for kept in self._networks]
        epochs = self._config.warm_up_epochs
        return _mean(
            epochs * self._train * head.train_s + self._validation * head.predict_s
            for head in heads
        )

    def _prefixes(self) -> float:
        """One pass of each network that is drawn, over every view; writing what it gives."""
        passes = _mean(self._pass(kept) for kept in self._networks)
        if not any(kept.choice == "recomputed" for kept in self._networks):
            return distinct(len(self._networks), self._config.trials) * passes
        shapes = len(self._networks) * self._heads  # each process computes for each warm-up
        return self._slots * distinct(shapes, self._config.trials / self._slots) * passes

    def _pass(self, pooled: Kept) -> float:
        """One network's pass, with the writing of what is kept of it."""
        machine, pace = self._machine, self._machine.paces[pooled.backbone]
        once = self._train + self._validation
        if pooled.choice == "recomputed":
            return once * pace.pass_s
        name = (pooled.backbone, pooled.weights)
        mine = [k for k in self.features if (k.backbone, k.weights) == name and k.kept]
        shared = self._config.space.prefix_depths(pooled.backbone)
        deepest = max((pace.suffix(k.depth).share for k in mine if k.depth in shared), default=0)
        first, views = 1.0 if pooled.kept else deepest, pooled.views if deepest else 1
        passes = once * first + self._train * (views - 1) * deepest
        shown = self._train * views * machine.show_s if mine else 0.0
        written = sum(kept.bytes for kept in mine) * machine.disk.write_s
        return passes * pace.pass_s + shown + written

    def _tracing(self, trials: float) -> float:
        """Of one process that serves so many trials: passes, heads to warm up, suffixes."""
        networks, heads = len(self._networks), self._heads
        shapes = len(self._kinds) * heads * len(self._config.space.optimizer.values)
        paces = [self._machine.paces[kept.backbone] for kept in self._networks]
        passes = distinct(networks, trials) * _mean(pace.trace_s for pace in paces)
        warm = distinct(networks * heads, trials) * _mean(p.suffix(Depth(0)).trace_s for p in paces)
        own = distinct(shapes, trials) * _mean(suffix.trace_s for _, suffix, _ in self._kinds)
        return passes + warm + own


def _mean(values: Iterator[float]) -> float:
    every = list(values)
    return sum(every) / len(every)
