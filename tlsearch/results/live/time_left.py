"""The remaining time of a search: its forecast, corrected by the trials that have ended."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from tlsearch.base.phases import Phase
from tlsearch.results.live.events import (
    EpochReported,
    Event,
    Forecast,
    StudyBegan,
    TrialEnded,
    WorkerLost,
    describe_configuration,
)
from tlsearch.results.live.span import Span

TRIALS = "trials"  # the phase in which trials train
FORECAST_COUNTS = 1  # weight of the forecast; the ended trials weigh as much as their number
SCALED = 4.0  # the largest factor by which slow trials scale the forecast of the confirmation


def next_trial_s(ended: Sequence[tuple[str, float]]) -> float:
    """Return the expected seconds of each of the next trials.

    `ended` holds (kind, seconds) of the ended trials, in order. The result is the mean of the mean
    seconds of each kind, weighted by how often the kind occurs in the later half: a sampler prefers
    some kinds as it learns.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    for kind, seconds in ended:
        taken[kind].append(seconds)
    return fmean(fmean(taken[kind]) for kind, _ in ended[len(ended) // 2 :])


@dataclass
class TimeLeft:
    """The remaining time of a search, estimated from its events; `clock` returns seconds."""

    clock: Callable[[], float]
    study: StudyBegan | None = None
    forecast: Forecast | None = None
    remaining_at_start: int = 0  # trials that had not ended when this run began
    left: int = 0  # trials that have not ended yet
    _ended: list[tuple[str, float]] = field(default_factory=list)
    _whole: list[tuple[float, float]] = field(default_factory=list)  # value, seconds of all epochs
    _shares: dict[int, float] = field(default_factory=dict)  # trained part of running trials
    _since: float = 0.0  # when the first epoch was reported; before that, when the study began
    _trains: bool = False
    _trials_over: float | None = None
    _after_s: float = 0.0

    def hear(self, event: Event) -> None:
        """Update the estimate from one event."""
        match event:
            case StudyBegan():
                self.study = event
                self.remaining_at_start = self.left = max(0, event.trials - event.ended)
                self._since = self.clock()
            case Forecast():
                self.forecast = event
            case EpochReported() if self.study is not None:
                if not self._trains:
                    self._trains, self._since = True, self.clock()
                self._shares[event.trial] = event.epoch / self.study.epochs
            case TrialEnded():
                self._shares.pop(event.trial, None)
                self._ended.append((describe_configuration(event.config), event.seconds))
                self._note_whole(event)
                self.left = max(0, event.trials - event.ended)
            case WorkerLost():
                self._shares.pop(event.trial, None)
            case Phase(name=name, state="ended") if name == TRIALS:
                self._after_s, self._trials_over = self._following_s(0.0), self.clock()

    @property
    def span(self) -> Span | None:
        """The time from now to the end of the search, or to the end of the trials if there is no
        forecast; None if nothing is known or no time is left.
        """
        if self._trials_over is not None:
            left_s = self._after_s - (self.clock() - self._trials_over)
        else:
            trials_s = self._trials_s()
            left_s = 0.0 if trials_s is None else trials_s + self._following_s(trials_s)
        return Span.around(left_s) if left_s > 0 else None

    def __str__(self) -> str:
        of, span = "" if self.forecast else " of trials", self.span
        return "" if span is None else f"about {span}{of} left"

    def _trials_s(self) -> float | None:
        """Expected seconds for the trials that have not ended: the weighted mean of the forecast
        and of an estimate from the ended trials; None if there is neither.
        """
        undone = self.left - sum(self._shares.values())
        counted = []
        if self.forecast is not None and self.remaining_at_start:
            counted.append(
                (FORECAST_COUNTS, self.forecast.seconds * undone / self.remaining_at_start)
            )
        if self._ended:
            each = next_trial_s(self._ended)
            done = sum(seconds for _, seconds in self._ended) + each * sum(self._shares.values())
            if done > 0 and self._trained_s > 0:
                counted.append((len(self._ended), self._trained_s * each * undone / done))
        weight = sum(count for count, _ in counted)
        return sum(count * seconds for count, seconds in counted) / weight if weight else None

    def _note_whole(self, event: TrialEnded) -> None:
        """Note how long a trial with a value would take to its last epoch."""
        if event.value is not None and self.study is not None:
            whole_s = event.seconds * (self.study.epochs + 1) / (event.epochs + 1)
            self._whole.append((event.value, whole_s))

    def _following_s(self, trials_s: float) -> float:
        """Expected seconds of the steps after the trials, 0 without a forecast."""
        if self.forecast is None:
            return 0.0
        scale = self._confirm_scale(self.forecast, trials_s)
        return self.forecast.confirm_s * scale + self.forecast.export_s

    def _confirm_scale(self, forecast: Forecast, trials_s: float) -> float:
        """How much longer than forecast confirming will take: as much as the trials, which still
        take `trials_s`, and, the more of them have ended, as much as the best of them would.
        """
        if not self._ended:
            return 1.0
        scale = (self._trained_s + trials_s) / max(forecast.seconds, 1e-9)
        round_s = self._round_s(forecast.candidates)
        if round_s and forecast.round_s:
            share = len(self._ended) / max(1, self.remaining_at_start)
            scale += share * (round_s / forecast.round_s - scale)
        return min(max(scale, 1 / SCALED), SCALED)

    def _round_s(self, candidates: int) -> float:
        """Seconds to train the best trials so far once more, in all slots; 0 if there are none."""
        if self.study is None:
            return 0.0
        key = self.study.direction.key
        best = sorted(self._whole, key=lambda one: key(one[0]))[:candidates]
        each = [whole_s for _, whole_s in best]
        return max(max(each, default=0.0), sum(each) / self.study.slots)

    @property
    def _trained_s(self) -> float:
        return self.clock() - self._since
