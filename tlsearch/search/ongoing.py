"""One search while it runs: the value that every step of a study takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.results.live.events import Listen
from tlsearch.results.live.progress import ended
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord
from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending


@dataclass(frozen=True)
class Search:
    """What is searched, where it is recorded, on which images, when it ends, and who hears of it.

    `slots` is how many trials run at a time when it begins, `device` how all of them compute,
    `budget` the time that they may take.
    """

    config: SearchConfig
    home: StudyDirectory
    data: ImageData
    ending: Ending
    listen: Listen
    slots: int = 1
    device: DeviceProfile = CPU_PROFILE
    budget: Budget = field(default_factory=Budget)

    def record(self) -> StudyRecord:
        """What the journal holds; no trial before the first one."""
        journal = self.home.journal
        return journal.record() if journal.begun else StudyRecord(self.config.direction, ())

    def note(self, facts: Mapping[str, object]) -> None:
        """Add facts of the study as a whole to the journal."""
        self.home.journal.note(facts)

    @property
    def ended(self) -> int:
        """How many trials have come to an end, over all drivers of the study."""
        return ended(self.record().trials)
