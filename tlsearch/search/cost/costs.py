"""The costs of a search, from measured speeds of steps: its seconds, its memory, its disk."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.pace import POOLED, Pace, Suffix
from tlsearch.results.rank.confirmation import FRESH_SHARE, SEEDS, SHARE
from tlsearch.results.rank.standings import KEPT_TRIALS
from tlsearch.search.cost.cache_plan import CacheChoice, cache_choices
from tlsearch.search.cost.calibration import Calibration
from tlsearch.search.cost.survey import Survey
from tlsearch.search.cost.survival import Reaching

RAY_START_S = 3.0
TRIAL_S = 0.1  # of a trial beyond its epochs: proposing, scheduling, reporting
EPOCH_S = 0.005
TURNED = 0.5  # how far the sampler turns from the average kind of trial to the costliest
LOADING = 1.0  # the time to load a file in a clean process, relative to building its network
REPORTING = 0.8  # the time to write the report and end Ray, relative to starting a process
WEIGHT_BYTES = 4
EXPORT_BYTES = 2 * 10**9  # the most that exporting and testing take beyond the process itself


@dataclass(frozen=True)
class Seconds:
    """The seconds of each kind of work; all but decoding and starting are summed over the slots.

    `start` are those to start Ray and the first worker.
    """

    decode: float
    start: float
    prefixes: float
    tracing: float
    training: float


def expected_distinct(kinds: int, draws: float) -> float:
    """Return the expected number of distinct kinds among draws of equally likely kinds."""
    return kinds * (1 - (1 - 1 / kinds) ** draws) if kinds > 1 else min(1.0, draws)


class Costs:
    """The costs of a search, summed over the kinds of trials of its space.

    A kind is a backbone, its weights and a depth; all kinds are equally likely.
    """

    def __init__(
        self,
        config: SearchConfig,
        calibration: Calibration,
        survey: Survey,
        slots: int,
        first: Sequence[TrialConfig],
    ) -> None:
        self._config, self._machine = config, calibration
        self._survey, self._slots, self._first = survey, slots, first
        self._train, self._validation = survey.images["train"], survey.images["validation"]
        self.features = cache_choices(config, calibration, survey.images)
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
        self._paces = [calibration.paces[kept.backbone] for kept in self._networks]

    def seconds(self, trained: Reaching) -> Seconds:
        """Return the seconds of the search; `trained` is how many trials train each epoch."""
        return Seconds(
            decode=self._survey.decode_s,
            start=RAY_START_S + self._machine.start_s,
            prefixes=self._prefixes(),
            tracing=self._slots * self._tracing(self._config.trials / self._slots),
            training=self._training(trained),
        )

    def longest_trial(self) -> float:
        """Return the seconds of an average trial that is never stopped, in a process that just
        started.
        """
        passes = _mean(self._pass(kept) for kept in self._networks)
        epochs = self._config.epochs * self._epoch() + self._warm_up() + TRIAL_S
        return self._tracing(1) + passes / min(self._slots, len(self._networks)) + epochs

    def confirmation_s(self, work_s: float) -> float:
        """Return the seconds to confirm and refine; `work_s` is the work of the trials.

        Confirming takes as many rounds of all candidates as `rounds.due_runs` allows, the
        refinement as many epochs as fit into its share of the work. Both run in the workers of the
        trials.
        """
        more = int(FRESH_SHARE * SHARE * work_s / (self.candidates * self._run_s)) - 1
        runs = self.candidates * (1 + min(max(0, more), SEEDS - 1))
        return self.round_s(runs) + self._refining(work_s)

    @property
    def candidates(self) -> int:
        """How many trials a round of the confirmation trains again."""
        return min(self._config.confirm, self._config.trials)

    def round_s(self, runs: int) -> float:
        """Return the seconds to train so many runs of the confirmation in all slots."""
        return math.ceil(runs / self._slots) * self._run_s

    @property
    def _run_s(self) -> float:
        return self._config.epochs * self._learned_epoch + self._warm_up() + TRIAL_S

    def _refining(self, work_s: float) -> float:
        """Return the seconds to refine the winner, with a frozen pass in every epoch; 0 if the
        study does not augment, or if not even one epoch fits.
        """
        if self._config.augment.is_off:
            return 0.0
        epoch_s = self._learned_epoch + self._train * fmean(pace.pass_s for pace in self._paces)
        fitting = int((1 - FRESH_SHARE) * SHARE * work_s / epoch_s)
        return min(fitting, max(1, self._config.epochs // 2)) * epoch_s

    def exporting(self) -> float:
        """Return the seconds to export, test and report the winner.

        The processes that export and verify have started before, and share the cores. Each file is
        written, and loaded in a clean process. The images of both splits pass the network, and
        those of the validation split each file and the resize inside it.
        """
        built_s = max(pace.trace_s for pace in self._paces)
        files = len(self._config.export)
        loads = math.ceil(files / self._slots)
        images = (2 + files) * self._validation + self._survey.images.get("test", 0)
        passes_s = images * max(pace.pass_s for pace in self._paces) / self._slots
        return (files + LOADING * loads) * built_s + passes_s + REPORTING * self._machine.start_s

    def study_bytes(self) -> int:
        """Return the bytes of the kept trials' weights, if each trained as many as the largest."""
        largest = max(suffix.trained for _, suffix, _ in self._kinds)
        return min(KEPT_TRIALS, self._config.trials) * largest * WEIGHT_BYTES

    def slot_bytes(self) -> int:
        """Return the memory of a slot: a process and the rows of features that it holds."""
        rows = sum(kept.bytes for kept in self.features if kept.cached)
        return self._machine.memory_bytes + min(rows, self._machine.resident_bytes)

    def after_bytes(self) -> int:
        """Return the memory of the largest process after the trials: one that confirms, or the one
        that exports and tests.
        """
        exporting = self._machine.memory_bytes + EXPORT_BYTES
        return max(self.slot_bytes(), exporting) if self._config.confirm else exporting

    def _training(self, trained: Reaching) -> float:
        trials = self._config.trials
        warm = len(self._networks) * self._heads
        warm_ups = self._slots * expected_distinct(warm, trials / self._slots) * self._warm_up()
        return sum(trained) * self._epoch() + trials * TRIAL_S + warm_ups

    def _epoch(self) -> float:
        """Return the mean seconds of an epoch over the first trials, whose kinds are known, and
        those that the sampler proposes once it has learned.
        """
        trials, every = self._config.trials, self._epochs
        named = [(trial.backbone, trial.weights, trial.prefix_depth) for trial in self._first]
        known = [every[name] for name in named if name in every][:trials]
        return (sum(known) + (trials - len(known)) * self._learned_epoch) / trials

    @functools.cached_property
    def _epochs(self) -> dict[tuple[str, str, Depth], float]:
        """The seconds of an epoch of each kind of trial."""
        return {
            (kept.backbone, kept.weights, kept.depth): self._epoch_of(pace, suffix, kept) + EPOCH_S
            for pace, suffix, kept in self._kinds
        }

    @property
    def _learned_epoch(self) -> float:
        """The seconds of an epoch of the trials that a sampler prefers once it has learned: between
        the mean and the costliest kind.
        """
        mean, most = fmean(self._epochs.values()), max(self._epochs.values())
        return mean + TURNED * (most - mean)

    def _epoch_of(self, pace: Pace, suffix: Suffix, kept: CacheChoice) -> float:
        taken = self._train * suffix.train_s + self._validation * suffix.predict_s
        images = self._train + self._validation
        if not kept.cached:
            augmenting = self._train * self._machine.augment_s
            return taken + augmenting + images * pace.pass_s * suffix.share
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
        """Return the seconds of the frozen passes of all networks that are drawn, with writing."""
        passes = _mean(self._pass(kept) for kept in self._networks)
        if not any(kept.choice == "recomputed" for kept in self._networks):
            return expected_distinct(len(self._networks), self._config.trials) * passes
        shapes = len(self._networks) * self._heads  # every process repeats the pass per warm-up
        return self._slots * expected_distinct(shapes, self._config.trials / self._slots) * passes

    def _pass(self, pooled: CacheChoice) -> float:
        """Return the seconds of one network's frozen pass and of writing its kept activations."""
        machine, pace = self._machine, self._machine.paces[pooled.backbone]
        once = self._train + self._validation
        if pooled.choice == "recomputed":
            return once * pace.pass_s
        name = (pooled.backbone, pooled.weights)
        mine = [k for k in self.features if (k.backbone, k.weights) == name and k.cached]
        shared = self._config.space.prefix_depths(pooled.backbone)
        deepest = max((pace.suffix(k.depth).share for k in mine if k.depth in shared), default=0)
        first, views = 1.0 if pooled.cached else deepest, pooled.views if deepest else 1
        passes = once * first + self._train * (views - 1) * deepest
        augmenting = self._train * views * machine.augment_s if mine else 0.0
        written = sum(kept.bytes for kept in mine) * machine.disk.write_s
        return passes * pace.pass_s + augmenting + written

    def _tracing(self, trials: float) -> float:
        """Return the seconds of tracing in one process that runs so many trials: the frozen passes,
        the heads of the warm-ups, and the suffixes.
        """
        networks, heads = len(self._networks), self._heads
        shapes = len(self._kinds) * heads * len(self._config.space.optimizer.values)
        passes = expected_distinct(networks, trials) * _mean(pace.trace_s for pace in self._paces)
        warm = expected_distinct(networks * heads, trials) * _mean(
            p.suffix(Depth(0)).trace_s for p in self._paces
        )
        own = expected_distinct(shapes, trials) * _mean(
            suffix.trace_s for _, suffix, _ in self._kinds
        )
        return passes + warm + own


def _mean(values: Iterator[float]) -> float:
    every = list(values)
    return sum(every) / len(every)
