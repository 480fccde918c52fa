"""What a search tells its listeners: that it began, how it ended."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tlsearch.base.phases import Counter
from tlsearch.base.shown_text import masked, printable
from tlsearch.config.schema import SearchConfig
from tlsearch.results.live.events import Listen, Listeners, StudyBegan, StudyEnded
from tlsearch.results.live.progress import ended, lines, trial_ended
from tlsearch.results.rank.perfect import is_perfect, reason
from tlsearch.results.rank.standings import Standings
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import SPENT, TrialRecord
from tlsearch.search.ongoing import Search

log = logging.getLogger(__name__)


def default_listener() -> Listen:
    """Who hears a search that names no listener: a notebook or a Python prompt, a line an event;
    elsewhere the log.
    """
    if "ipykernel" not in sys.modules and not hasattr(sys, "ps1"):
        return log.info

    def show(line: str) -> None:
        sys.stdout.write(printable(masked(line)) + "\n")
        sys.stdout.flush()

    return lines(show)


def follow_in_tensorboard(config: SearchConfig, home: StudyDirectory, heard: Listeners) -> None:
    """Have TensorBoard's files hear of the search too, where its configuration requests them."""
    if config.tensorboard:
        from tlsearch.results.live.tensorboard import TensorBoard

        heard.add(TensorBoard(home.tensorboard))


def began(search: Search) -> StudyBegan:
    """That the search began, or goes on."""
    config = search.config
    return StudyBegan(
        directory=search.home.place,
        name=config.name,
        metric=config.metric,
        direction=config.direction,
        trials=config.trials,
        epochs=config.epochs,
        slots=search.slots,
        ended=search.ended,
    )


def ended_event(search: Search) -> StudyEnded:
    """That the search is over, and why."""
    ending = search.ending
    return StudyEnded(ending.why, search.ended, search.config.trials, ending.enough or "")


@dataclass(frozen=True)
class EachEnd:
    """What follows the end of each trial of a search: files that are no longer needed are deleted,
    the event is told and counted, and a perfect trial ends the search unless it `goes_on`.

    `begin` is called once a worker has no trial left, and after each later end.
    """

    search: Search
    counter: Counter
    goes_on: bool
    begin: Callable[[], None]

    def __call__(self, trial: TrialRecord, standings: Standings) -> None:
        """A trial has ended; `standings` are those after it."""
        search, config = self.search, self.search.config
        search.home.drop_resume_state(trial.number)
        if standings.dropped is not None:
            search.home.drop_best(standings.dropped)
        search.listen(trial_ended(trial, standings, config.trials))
        self.counter.reach(standings.ended)
        if not self.goes_on and is_perfect(trial, config.metric):
            search.ending.suffice(reason(trial.number, config.metric))
        if search.ending.enough or standings.ended > config.trials - search.slots:
            self.begin()


def so_far(home: StudyDirectory) -> tuple[int, float]:
    """How many trials of a study ended, and the seconds that it took."""
    if not home.journal.begun:
        return 0, 0.0
    record = home.journal.record()
    return ended(record.trials), record.facts.get(SPENT, 0.0)
