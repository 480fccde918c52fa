"""The order of a study's trials: of a whole record, and kept up to date from trial to trial."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from tlsearch.config.catalog import Direction
from tlsearch.results.record.journal import StudyRecord, TrialRecord

KEPT_TRIALS = 5  # the best that ended, whose weights are worth their disk

Place = tuple[float, int]  # the smaller the better: the direction's key of the value; number


def ranked(record: StudyRecord) -> list[TrialRecord]:
    """Trials with a sound value, best first; the value is that of the best epoch that counts.

    Equal values rank by trial number. Diverged and failed trials are not ranked.
    """
    places = [
        (record.direction.key(best[1]), trial.number, trial)
        for trial in record.trials
        if trial.state not in ("diverged", "failed") and (best := trial.best(record.direction))
    ]
    return [trial for _, _, trial in sorted(places, key=lambda place: place[:2])]


def keep_for_export(record: StudyRecord, count: int) -> Sequence[int]:
    """The numbers of the trials whose weights are worth their disk: the best `count` that ended.

    One that still runs may yet diverge, and must not push another out before.
    """
    ended = [trial for trial in ranked(record) if trial.state != "unfinished"]
    return [trial.number for trial in ended[:count]]


@dataclass
class Standings:
    """What `ranked` and `keep_for_export` would say of the study as it stands.

    `ended` counts the trials that came to an end; `dropped` is the one that the last end put out of
    the best `keep`, or kept from coming in, None where all of them still are the best.
    """

    direction: Direction
    keep: int = KEPT_TRIALS
    ended: int = 0
    dropped: int | None = None
    _best: list[Place] = field(default_factory=list)  # of those that ended
    _open: dict[int, Place] = field(default_factory=dict)  # of those at work

    @classmethod
    def of(cls, record: StudyRecord, keep: int = KEPT_TRIALS) -> "Standings":
        """The standings of a record."""
        found = cls(record.direction, keep)
        for trial in record.trials:
            if trial.state not in ("waiting", "unfinished"):
                found.end(trial)
            for value in trial.ranked_values.values() if trial.state == "unfinished" else ():
                found.report(trial.number, value)
        return found

    def report(self, number: int, value: float) -> None:
        """A trial at work reported a value that counts for it."""
        place = (self.direction.key(value), number)
        self._open[number] = min(place, self._open.get(number, place))

    def end(self, trial: TrialRecord) -> None:
        """A trial came to its end."""
        self.ended += 1
        self._open.pop(trial.number, None)
        best = trial.best(self.direction)
        if best is None or trial.state in ("diverged", "failed"):
            self.dropped = trial.number
            return
        bisect.insort(self._best, (self.direction.key(best[1]), trial.number))
        self.dropped = self._best.pop()[1] if len(self._best) > self.keep else None

    @property
    def leader(self) -> tuple[int, float] | None:
        """The best trial so far, at work or ended, and its value; None before the first value."""
        places = [*self._best[:1], *self._open.values()]
        if not places:
            return None
        key, number = min(places)
        return number, self.direction.key(key)
