"""The Ray stopper of a search: it ends the whole search, never a single trial."""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Stopper

from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending, Failures

NOTE_EVERY_S = 10.0  # at most so much of the time spent is lost if the driver is killed


class SearchStopper(Stopper):
    """Tells Ray after every event whether the search is over.

    The sampler does not learn from trials that it cuts short; `resume` continues them. `note`
    receives the seconds spent as a fact for the journal, about every `NOTE_EVERY_S`.
    """

    def __init__(
        self,
        ending: Ending,
        budget: Budget,
        note: Callable[[Mapping[str, float]], object] = lambda facts: None,
    ) -> None:
        self._ending, self._budget, self._note = ending, budget, note
        self._failures = Failures()
        self._noted_s = budget.spent_s

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial; end the search if a failure of its trials is fatal to it."""
        error = self._failures.take(result)
        if error is not None:
            self._ending.fail(error)
        return False

    def __getstate__(self) -> dict[str, Any]:
        """Give Ray nothing to pickle: the state would include the user's listener."""
        return {}

    def stop_all(self) -> bool:
        """Return whether to end the search now."""
        late = self._budget.used_up
        if late and not self._budget.trials_over:
            self._ending.out_of_time = True
        if self._budget.spent_s - self._noted_s >= NOTE_EVERY_S:
            self.note_spent()
        return late or self._ending.over

    def note_spent(self) -> None:
        """Write the seconds spent so far to the journal."""
        self._noted_s = self._budget.spent_s
        self._note(self._budget.facts)
