"""A running search: the value that is passed to every step of a study."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.results.live.events import Listen
from tlsearch.results.live.progress import count_ended
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord
from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending


@dataclass(frozen=True)
class Search:
    """A running search: its configuration, study directory, images, ending and listener.

    `slots` is the number of parallel trials when it begins, `device` the device profile of all
    trials, `budget` the study's time budget. `began` is when the command began, in seconds of
    `time.monotonic`, before it read the images.
    """

    config: SearchConfig
    home: StudyDirectory
    data: ImageData
    ending: Ending
    listen: Listen
    slots: int = 1
    device: DeviceProfile = CPU_PROFILE
    budget: Budget = field(default_factory=Budget)
    began: float = field(default_factory=time.monotonic)

    def record(self) -> StudyRecord:
        """Read the record from the journal; it has no trials before the journal is begun."""
        journal = self.home.journal
        return journal.record() if journal.begun else StudyRecord(self.config.direction, ())

    def note(self, facts: Mapping[str, object]) -> None:
        """Add facts of the study as a whole to the journal."""
        self.home.journal.note(facts)

    @property
    def ended(self) -> int:
        """The number of trials that have ended, over all drivers of the study."""
        return count_ended(self.record().trials)
