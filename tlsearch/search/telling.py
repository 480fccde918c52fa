"""What a search tells its listeners: that it began, how it ended."""

from typing import TYPE_CHECKING

from tlsearch.config.schema import SearchConfig
from tlsearch.results.events import Listen, StudyBegan, StudyEnded, guarded
from tlsearch.results.journal import read
from tlsearch.results.live import ended
from tlsearch.results.storage import StudyDirectory

if TYPE_CHECKING:
    from tlsearch.search.ending import Ending


def listeners(config: SearchConfig, home: StudyDirectory, listen: Listen) -> Listen:
    """The user's listener, and TensorBoard's where it was asked for; neither can end the search."""
    if not config.tensorboard:
        return guarded(listen)
    from tlsearch.results.tensorboard import TensorBoard

    return guarded(listen, TensorBoard(home.root / "tensorboard"))


def began(config: SearchConfig, home: StudyDirectory, slots: int) -> StudyBegan:
    """That the search began, or goes on."""
    return StudyBegan(
        directory=str(home.root),
        name=config.name,
        metric=config.metric,
        direction=config.direction,
        trials=config.trials,
        epochs=config.epochs,
        slots=slots,
        ended=_ended(home),
    )


def ended_event(config: SearchConfig, home: StudyDirectory, ending: "Ending") -> StudyEnded:
    """That the search is over, and why."""
    return StudyEnded(_why(ending), _ended(home), config.trials)


def _ended(home: StudyDirectory) -> int:
    return ended(read(home.journal_file).trials) if home.journal_file.is_file() else 0


def _why(ending: "Ending") -> str:
    if ending.error is not None:
        return "failed"
    if ending.interrupted is not None:
        return "interrupted"
    return "out of time" if ending.out_of_time else "finished"
