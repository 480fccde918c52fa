"""The progress of a search, from its events: phases, best so far, running trials, last decision."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tlsearch.base.phases import Phase
from tlsearch.config.catalog import Direction
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.results.live.events import (
    EpochReported,
    Event,
    FeaturesWidened,
    Forecast,
    Listen,
    NoForecast,
    StudyBegan,
    StudyEnded,
    TrialBegan,
    TrialEnded,
    WorkerLost,
    describe_configuration,
)
from tlsearch.results.live.open_phases import OpenPhases
from tlsearch.results.live.time_left import TimeLeft
from tlsearch.results.rank.standings import Standings
from tlsearch.results.record.journal import TrialRecord

SILENT_S = 1.1  # together with `pulse.BEAT_S`, less than 2 s between two lines


def trial_ended(trial: TrialRecord, standings: Standings, trials: int) -> TrialEnded:
    """Return the event of a trial's end; `standings` are those of its study after it."""
    epoch, value = trial.best(standings.direction) or (None, None)
    leader, leader_value = standings.leader or (None, None)
    return TrialEnded(
        trial=trial.number,
        state=trial.state,
        reason=trial.reason,
        config=trial.config,
        value=value,
        best_epoch=epoch,
        epochs=trial.epochs,
        seconds=round(trial.seconds, 2),
        ended=standings.ended,
        trials=trials,
        leader=leader,
        leader_value=leader_value,
    )


def count_ended(trials: Iterable[TrialRecord]) -> int:
    """Count the trials that have ended."""
    return sum(trial.state not in ("waiting", "unfinished") for trial in trials)


@dataclass
class Running:
    """A running trial; `rung` is the last rung that it reached.

    `epoch` is None until its first report. Epochs before `first` do not count for its ranking.
    """

    what: str
    first: int = 1
    epoch: int | None = None
    value: float | None = None
    rung: int | None = None


@dataclass
class Progress:
    """The state of a search, computed from its events so far; `clock` returns seconds."""

    clock: Callable[[], float]
    study: StudyBegan | None = None
    phase: str = "starting"
    running: dict[int, Running] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    ended: int = 0
    best: tuple[int, float, str] | None = None
    decision: str = ""
    forecast: str = ""
    began: float | None = None
    time: TimeLeft = field(init=False)
    _open: OpenPhases = field(init=False)
    _names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.time, self._open = TimeLeft(self.clock), OpenPhases(self.clock)

    def hear(self, event: Event) -> None:
        """Update the state from one event."""
        self.time.hear(event)
        match event:
            case Phase():
                self._open.follow(event)
            case StudyBegan():
                self.study, self.ended = event, event.ended
                self.phase, self.began = "searching", self.clock()
            case Forecast() | NoForecast():
                self.forecast = str(event)
            case TrialBegan():
                self._names[event.trial] = describe_configuration(event.config)
                first = Depth.of(event.config).first_ranked_epoch
                self.running[event.trial] = Running(describe_configuration(event.config), first)
            case EpochReported():
                self._note(event)
            case TrialEnded():
                self._end(event)
            case FeaturesWidened():
                self.decision = str(event)
            case WorkerLost():
                self.decision = str(event)
                self._forget(event.trial)
            case StudyEnded():
                self.phase = str(event)
                self._open.forget()
            case _:
                self.phase = str(event)

    @property
    def at_work(self) -> list[str]:
        """One line per open phase with its current duration, those of the command itself first."""
        return [str(phase) for phase in self._open.current()]

    def _note(self, event: EpochReported) -> None:
        trial = self.running.setdefault(event.trial, Running(""))
        trial.epoch, trial.value = event.epoch, event.value
        trial.rung = event.epoch if event.rung else trial.rung
        counts = event.epoch >= trial.first
        if counts and (self.best is None or self._better(event.value, self.best[1])):
            self.best = (event.trial, event.value, trial.what)

    def _end(self, event: TrialEnded) -> None:
        self._forget(event.trial)
        self.states[event.state] = self.states.get(event.state, 0) + 1
        self.ended = event.ended
        last = event.reason.splitlines()[-1] if event.reason else event.state
        self.decision = f"trial {event.trial} {last}"
        if event.leader is not None and event.leader_value is not None and self._ahead(event):
            self.best = (event.leader, event.leader_value, self._names.get(event.leader, ""))

    def _forget(self, trial: int) -> None:
        """Remove a trial that no longer runs, and its phases."""
        self.running.pop(trial, None)
        self._open.forget(lambda subject: subject == of_trial(trial))

    def _ahead(self, event: TrialEnded) -> bool:
        """Whether the leader of the ended trials replaces the best so far: it does unless a running
        trial is better.
        """
        if self.best is None or self.best[0] not in self.running:
            return True
        return self._better(event.leader_value or 0.0, self.best[1])

    def _better(self, value: float, than: float) -> bool:
        direction = self.study.direction if self.study else Direction.MAX
        return direction.better(value, than)

    @property
    def counts(self) -> str:
        """The number of trials that ended, out of all, with a count per state."""
        total = self.study.trials if self.study else 0
        named = ", ".join(f"{count} {state}" for state, count in list(self.states.items()))
        return f"{self.ended} of {total} trials ended" + (f" ({named})" if named else "")

    @property
    def pace(self) -> float | None:
        """Ended trials per minute since the search began, None before the first one ended."""
        mine = sum(self.states.values())
        if self.began is None or mine == 0:
            return None
        return 60 * mine / max(self.clock() - self.began, 1e-9)

    @property
    def line(self) -> str:
        """The current work in one line: open phases, the epoch of each running trial, and the time
        left.
        """
        busy = [f"{of_trial(n)} epoch {t.epoch}" for n, t in self.running.items() if t.epoch]
        return "; ".join(filter(None, [*self.at_work, *busy, str(self.time)])) or self.phase


def line_listener(
    write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
) -> Listen:
    """Return a listener that writes one line per event.

    For frequent events (epochs, proposals, counts of phases, phases of single trials) it writes
    `Progress.line` instead, and only if it has written nothing for `SILENT_S`. Together with
    `pulse.heartbeat`, consecutive lines are less than 2 s apart.
    """
    progress, wrote = Progress(clock), clock()

    def listen(event: Event) -> None:
        nonlocal wrote
        progress.hear(event)
        quiet = isinstance(event, EpochReported | TrialBegan)
        between = isinstance(event, Phase) and (event.state == "going" or bool(event.subject))
        if quiet or between:
            if clock() - wrote < SILENT_S:
                return
            text = progress.line
        else:
            text = str(event)
        write(text)
        wrote = clock()

    return listen


def of_trial(number: int) -> str:
    """Return the `subject` of the phases of a trial."""
    return f"trial {number}"


def format_duration(seconds: float) -> str:
    """Format a duration for people: 45 s, 3 min, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
