"""The events that a search sends to its listeners when it begins, at each trial's end, and at its
own end.
"""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tlsearch.base.phases import Counter
from tlsearch.base.shown_text import escape_controls, mask_urls
from tlsearch.config.schema import SearchConfig
from tlsearch.results.live.events import Listen, Listeners, StudyBegan, StudyEnded
from tlsearch.results.live.progress import count_ended, line_listener, trial_ended
from tlsearch.results.rank.perfect import is_perfect, perfect_message
from tlsearch.results.rank.standings import Standings
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import SPENT, TrialRecord
from tlsearch.search.ongoing import Search

log = logging.getLogger(__name__)

AHEAD_S = 10.0  # a process imports TensorFlow in 5 to 13 s


def default_listener() -> Listen:
    """Return the listener of a search that has none: in a notebook or at a Python prompt it prints
    one line per event; elsewhere it logs them.
    """
    if "ipykernel" not in sys.modules and not hasattr(sys, "ps1"):
        return log.info

    def show(line: str) -> None:
        sys.stdout.write(escape_controls(mask_urls(line)) + "\n")
        sys.stdout.flush()

    return line_listener(show)


def follow_in_tensorboard(config: SearchConfig, home: StudyDirectory, listeners: Listeners) -> None:
    """Add a listener that writes TensorBoard files, if the configuration requests them."""
    if config.tensorboard:
        from tlsearch.results.live.tensorboard import TensorBoard

        listeners.add(TensorBoard(home.tensorboard))


def begin_event(search: Search) -> StudyBegan:
    """Return the event that the search began or was resumed."""
    config = search.config
    return StudyBegan(
        directory=search.home.location,
        name=config.name,
        metric=config.metric,
        direction=config.direction,
        trials=config.trials,
        epochs=config.epochs,
        slots=search.slots,
        ended=search.ended,
    )


def ended_event(search: Search) -> StudyEnded:
    """Return the event that the search is over, and why."""
    ending = search.ending
    return StudyEnded(ending.why, search.ended, search.config.trials, ending.enough or "")


@dataclass(frozen=True)
class TrialEndHandler:
    """Handles the end of each trial of a search.

    Deletes files that are no longer needed, sends the event, counts the trial, and ends the search
    after a perfect trial unless it `goes_on`. Calls `begin` at each end once a perfect trial has
    ended the search, a worker has no trial left, or the last trial should end within `AHEAD_S`.

    The trials began after `began_s` seconds of the study, with `before` trials ended by then.
    """

    search: Search
    counter: Counter
    goes_on: bool
    begin: Callable[[], None]
    began_s: float
    before: int

    def __call__(self, trial: TrialRecord, standings: Standings) -> None:
        """Handle the end of a trial; `standings` are those after it."""
        search, config = self.search, self.search.config
        search.home.drop_resume_state(trial.number)
        if standings.dropped is not None:
            search.home.drop_best(standings.dropped)
        search.listen(trial_ended(trial, standings, config.trials))
        self.counter.reach(standings.ended)
        if not self.goes_on and is_perfect(trial, config.metric):
            search.ending.end_as_perfect(perfect_message(trial.number, config.metric))
        if search.ending.enough or self.ends_soon(standings.ended):
            self.begin()

    def ends_soon(self, ended: int) -> bool:
        """Whether a worker has no trial left, or will have none soon if the trials to come take as
        long as those that have ended.
        """
        left = self.search.config.trials - ended
        each_s = (self.search.budget.spent_s - self.began_s) / max(1, ended - self.before)
        return left < self.search.slots or left * each_s <= AHEAD_S


def so_far(home: StudyDirectory) -> tuple[int, float]:
    """Return how many trials of a study have ended, and the seconds that it has taken."""
    if not home.journal.begun:
        return 0, 0.0
    record = home.journal.record()
    return count_ended(record.trials), record.facts.get(SPENT, 0.0)
