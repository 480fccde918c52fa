"""What a search tells its listeners: that it began, how it ended."""

import logging
import sys
from typing import TYPE_CHECKING

from tlsearch.base.shown_text import masked, printable
from tlsearch.config.schema import SearchConfig
from tlsearch.results.live.events import Listen, StudyBegan, StudyEnded, guarded
from tlsearch.results.live.progress import ended, lines
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import SPENT, read

if TYPE_CHECKING:
    from tlsearch.search.ending import Ending

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


def listeners(config: SearchConfig, home: StudyDirectory, listen: Listen) -> Listen:
    """The user's listener, and TensorBoard's where it was asked for; neither can end the search."""
    if not config.tensorboard:
        return guarded(listen)
    from tlsearch.results.live.tensorboard import TensorBoard

    return guarded(listen, TensorBoard(home.folder("tensorboard")))


def began(config: SearchConfig, home: StudyDirectory, slots: int) -> StudyBegan:
    """That the search began, or goes on."""
    return StudyBegan(
        directory=home.place,
        name=config.name,
        metric=config.metric,
        direction=config.direction,
        trials=config.trials,
        epochs=config.epochs,
        slots=slots,
        ended=so_far(home)[0],
    )


def ended_event(config: SearchConfig, home: StudyDirectory, ending: "Ending") -> StudyEnded:
    """That the search is over, and why."""
    return StudyEnded(_why(ending), so_far(home)[0], config.trials, ending.enough or "")


def so_far(home: StudyDirectory) -> tuple[int, float]:
    """How many trials of a study ended, and the seconds that it took."""
    if not home.journal_file.is_file():
        return 0, 0.0
    record = read(home.journal_file)
    return ended(record.trials), record.facts.get(SPENT, 0.0)


def _why(ending: "Ending") -> str:
    if ending.error is not None:
        return "failed"
    if ending.interrupted is not None:
        return "interrupted"
    return "out of time" if ending.out_of_time else "finished"
