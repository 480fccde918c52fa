"""Ray's limit on trials at a time, which follows the cluster as it grows and shrinks."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import ConcurrencyLimiter, Searcher


class ElasticLimiter(ConcurrencyLimiter):
    """As many trials at a time as there is room for when the next one is asked for.

    Stock Ray's limit is the one that a search began with: a node that joins later gets no trial.
    At least one is let through, or else a search whose nodes are all gone would ask for nothing.
    """

    def __init__(self, searcher: Searcher, room: Callable[[], int]) -> None:
        super().__init__(searcher, max_concurrent=max(1, room()))
        self._room = room

    def suggest(self, trial_id: str) -> Any:
        """The searcher's next configuration, None while there is no room for another."""
        self.max_concurrent = max(1, self._room())
        return super().suggest(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Ray to pickle: the journal is the record."""
        return {}
