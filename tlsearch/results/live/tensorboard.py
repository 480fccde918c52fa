"""The learning curves as TensorBoard event files."""

from importlib import import_module
from pathlib import Path
from typing import Any

from tlsearch.results.live.events import EpochReported, Event, StudyBegan, TrialEnded
from tlsearch.results.record.file_names import trial_name


class TensorBoard:
    """A listener that writes `folder/<trial>/events.*`.

    Imports tensorboardX, which is installed with Ray.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metric = "value"
        self._writers: dict[int, Any] = {}
        self._new_writer = import_module("tensorboardX").SummaryWriter

    def __call__(self, event: Event) -> None:
        """Write the value of an epoch; close the file of a trial when it ends."""
        match event:
            case StudyBegan():
                self._metric = event.metric
            case EpochReported():
                writer = self._writer(event.trial)
                writer.add_scalar(f"validation/{self._metric}", event.value, event.epoch)
                writer.flush()
            case TrialEnded():
                writer = self._writer(event.trial)
                writer.add_text("configuration", _listing(event))
                writer.close()
                del self._writers[event.trial]

    def _writer(self, trial: int) -> Any:
        if trial not in self._writers:
            self._writers[trial] = self._new_writer(str(self._folder / trial_name(trial)))
        return self._writers[trial]


def _listing(event: TrialEnded) -> str:
    """Return the configuration and the end of a trial as Markdown, which TensorBoard renders."""
    lines = [f"- {name}: `{value}`" for name, value in event.config.items()]
    return "\n".join([*lines, f"- {event.state}: {event.reason}"])
