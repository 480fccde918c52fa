"""Ray's stopper: it ends the whole search, never a single trial."""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Stopper

from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending, Failures

NOTE_EVERY_S = 10.0  # what a killed driver forgets of the time that it spent, at most


class SearchStopper(Stopper):
    """Asked by Ray after every event whether the search is over.

    Trials that it cuts short are not told to the sampler; `resume` takes them up again. `note`
    takes the seconds spent, as a fact for the journal, now and then while the search lasts.
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
        """Stop no single trial; end the search where its trials fail all alike."""
        error = self._failures.take(result)
        if error is not None:
            self._ending.fail(error)
        return False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Ray to pickle: it would take the user's listener along."""
        return {}

    def stop_all(self) -> bool:
        """Whether to end the search now."""
        late = self._budget.used_up
        if late and not self._budget.trials_over:
            self._ending.out_of_time = True
        if self._budget.spent_s - self._noted_s >= NOTE_EVERY_S:
            self.note_spent()
        return late or self._ending.over

    def note_spent(self) -> None:
        """Note the seconds spent so far."""
        self._noted_s = self._budget.spent_s
        self._note(self._budget.facts)
