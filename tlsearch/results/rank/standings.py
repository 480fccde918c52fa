"""The ranking of a study's trials, from a whole record or updated from trial to trial."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from tlsearch.config.catalog import Direction
from tlsearch.results.record.journal import StudyRecord, TrialRecord

KEPT_TRIALS = 5  # the best ended trials, whose weights are kept on disk

Place = tuple[float, int]  # `Direction.key` of the value, trial number; smaller is better


def ranked_trials(record: StudyRecord) -> list[TrialRecord]:
    """Return the trials ranked by the value of their best epoch that counts, best first.

    Equal values rank by trial number. Diverged and failed trials, and trials without a value, are
    left out.
    """
    places = [
        (record.direction.key(best[1]), trial.number, trial)
        for trial in record.trials
        if trial.state not in ("diverged", "failed") and (best := trial.best(record.direction))
    ]
    return [trial for _, _, trial in sorted(places, key=lambda place: place[:2])]


def keep_for_export(record: StudyRecord, count: int) -> Sequence[int]:
    """Return the numbers of the trials whose weights are kept: the best `count` that ended.

    A running trial is left out: it may still diverge, so it must not displace another one yet.
    """
    ended = [trial for trial in ranked_trials(record) if trial.state != "unfinished"]
    return [trial.number for trial in ended[:count]]


@dataclass
class Standings:
    """The results of `ranked_trials` and `keep_for_export`, updated with each ended trial.

    `ended` is the number of ended trials. `dropped` is the trial that the last end removed from the
    best `keep`, or the ended trial itself if it is not among them; None if no trial was dropped.
    """

    direction: Direction
    keep: int = KEPT_TRIALS
    ended: int = 0
    dropped: int | None = None
    _best: list[Place] = field(default_factory=list)  # of ended trials
    _open: dict[int, Place] = field(default_factory=dict)  # of running trials

    @classmethod
    def of(cls, record: StudyRecord, keep: int = KEPT_TRIALS) -> "Standings":
        """Return the standings of a record."""
        found = cls(record.direction, keep)
        for trial in record.trials:
            if trial.state not in ("waiting", "unfinished"):
                found.end(trial)
            for value in trial.ranked_values.values() if trial.state == "unfinished" else ():
                found.report(trial.number, value)
        return found

    def report(self, number: int, value: float) -> None:
        """Add a value that a running trial reported at an epoch that counts."""
        place = (self.direction.key(value), number)
        self._open[number] = min(place, self._open.get(number, place))

    def end(self, trial: TrialRecord) -> None:
        """Add the end of a trial."""
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
        """The best running or ended trial so far, and its value; None before the first value."""
        places = [*self._best[:1], *self._open.values()]
        if not places:
            return None
        key, number = min(places)
        return number, self.direction.key(key)
