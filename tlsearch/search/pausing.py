"""An actor whose trials may be taken up again after any epoch, on any other actor."""

from typing import Any

from tlsearch.search.actor import TrialActor


class PausingActor(TrialActor):
    """Saves the resume state of a trial that leaves its slot before it is done."""

    _resumable = False

    def step(self) -> dict[str, Any]:
        """Train one epoch and report it."""
        result = super().step()
        self._resumable = not result["done"]
        return result

    def _end(self) -> None:
        if self._resumable and self._last is not None:
            self._last.snapshot().save(self.home / "resume.npz")
        self._resumable = False
        super()._end()
