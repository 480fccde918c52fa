"""How long a search still takes: its forecast, corrected by the trials that have ended."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from tlsearch.base.phases import Phase
from tlsearch.results.live.events import (
    EpochReported,
    Event,
    Forecast,
    Span,
    StudyBegan,
    TrialEnded,
    WorkerLost,
    what,
)

TRIALS = "trials"  # the phase in which trials train
FORECAST_COUNTS = 1  # the weight of the forecast; that of the trials that ended is their number
SCALED = 4.0  # at most, what follows the trials where these take longer than forecast


def next_trial_s(ended: Sequence[tuple[str, float]]) -> float:
    """Seconds that the next trials are expected to take each, from (kind, seconds) of those that
    ended, in order: the mean of each kind, by how often the kind came in the later half. A sampler
    turns to some kinds as it learns.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    for kind, seconds in ended:
        taken[kind].append(seconds)
    return fmean(fmean(taken[kind]) for kind, _ in ended[len(ended) // 2 :])


@dataclass
class TimeLeft:
    """What events tell of the time that a search still takes; `clock` gives seconds."""

    clock: Callable[[], float]
    study: StudyBegan | None = None
    forecast: Forecast | None = None
    owed: int = 0  # trials, when this run began
    left: int = 0  # of them, those that have not ended
    _ended: list[tuple[str, float]] = field(default_factory=list)
    _shares: dict[int, float] = field(default_factory=dict)  # of running trials, what is trained
    _since: float = 0.0  # when the first trial began to train, as far as that is known
    _trains: bool = False
    _trials_over: float | None = None
    _after_s: float = 0.0

    def hear(self, event: Event) -> None:
        """Take up one event."""
        match event:
            case StudyBegan():
                self.study = event
                self.owed = self.left = max(0, event.trials - event.ended)
                self._since = self.clock()
            case Forecast():
                self.forecast = event
            case EpochReported() if self.study is not None:
                if not self._trains:
                    self._trains, self._since = True, self.clock()
                self._shares[event.trial] = event.epoch / self.study.epochs
            case TrialEnded():
                self._shares.pop(event.trial, None)
                self._ended.append((what(event.config), event.seconds))
                self.left = max(0, event.trials - event.ended)
            case WorkerLost():
                self._shares.pop(event.trial, None)
            case Phase(name=name, state="ended") if name == TRIALS:
                self._after_s, self._trials_over = self._following_s(0.0), self.clock()

    @property
    def span(self) -> Span | None:
        """From now to the end of the search, or to that of the trials where there is no forecast;
        None where nothing tells it.
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
        """Of the trials that have not ended: what the forecast says, and what the work so far took,
        each by the trials that it counts for.
        """
        undone = self.left - sum(self._shares.values())
        counted = []
        if self.forecast is not None and self.owed:
            counted.append((FORECAST_COUNTS, self.forecast.seconds * undone / self.owed))
        if self._ended:
            each = next_trial_s(self._ended)
            done = sum(seconds for _, seconds in self._ended) + each * sum(self._shares.values())
            if done > 0 and self._trained_s > 0:
                counted.append((len(self._ended), self._trained_s * each * undone / done))
        weight = sum(count for count, _ in counted)
        return sum(count * seconds for count, seconds in counted) / weight if weight else None

    def _following_s(self, trials_s: float) -> float:
        """Of what follows the trials: confirming takes longer where the trials did; 0 where nothing
        tells it.
        """
        if self.forecast is None:
            return 0.0
        ratio = (self._trained_s + trials_s) / max(self.forecast.seconds, 1e-9)
        scale = min(max(ratio, 1 / SCALED), SCALED) if self._ended else 1.0
        return self.forecast.confirm_s * scale + self.forecast.export_s

    @property
    def _trained_s(self) -> float:
        return self.clock() - self._since
