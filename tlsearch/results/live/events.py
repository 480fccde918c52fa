"""The events of a search; `str(event)` is the line that people read."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tlsearch.base.phases import Phase
from tlsearch.config.catalog import Direction
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.spelling import file_name
from tlsearch.results.live.span import Span
from tlsearch.results.record.journal import State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataReading:
    """The images are about to be read."""

    kind: str

    def __str__(self) -> str:
        return f"reading the images ({self.kind})"


@dataclass(frozen=True)
class DataRead:
    """The images were read: the number of classes, and the number of images per split."""

    classes: int
    images: Mapping[str, int]

    def __str__(self) -> str:
        sizes = ", ".join(f"{count} {split}" for split, count in self.images.items())
        return f"{self.classes} classes; {sizes}"


@dataclass(frozen=True)
class StudyBegan:
    """The trials begin; in a resumed study, `ended` of them have already ended."""

    directory: str
    name: str
    metric: str
    direction: Direction
    trials: int
    epochs: int
    slots: int
    ended: int = 0

    def __str__(self) -> str:
        before = f", {self.ended} of them ended before" if self.ended else ""
        return f"study {self.directory}: {self.trials} trials, {self.slots} at a time{before}"


@dataclass(frozen=True)
class Forecast:
    """The expected cost of a search.

    Its trials take `seconds`, train `epochs` epochs and write `bytes` bytes to disk. Confirming and
    refining the winner take `confirm_s`; one round trains `candidates` trials and takes `round_s`.
    Exporting, testing and reporting it take `export_s`. `before_s` seconds have passed since the
    command began.
    """

    seconds: float
    epochs: float
    bytes: int
    confirm_s: float = 0.0
    export_s: float = 0.0
    before_s: float = 0.0
    candidates: int = 0
    round_s: float = 0.0

    @property
    def duration(self) -> Span:
        """The expected duration of the whole command."""
        return Span.around(self.before_s + self.seconds + self.confirm_s + self.export_s)

    def __str__(self) -> str:
        return (
            f"forecast: {self.duration}, of which the trials take {self.seconds:.0f} s; "
            f"{self.epochs:.0f} epochs, {self.bytes / 1e6:.1f} MB on disk"
        )


@dataclass(frozen=True)
class NoForecast:
    """There are no earlier measurements to make a forecast from."""

    def __str__(self) -> str:
        return "no forecast: run `tlsearch plan` on this search space first to get one"


@dataclass(frozen=True)
class TrialBegan:
    """A new trial was proposed, or an unfinished, lost or promoted one continues.

    It trains as soon as a slot is free.
    """

    trial: int
    config: Mapping[str, object]

    def __str__(self) -> str:
        return f"trial {self.trial} began: {describe_configuration(self.config)}"


@dataclass(frozen=True)
class EpochReported:
    """A trial trained an epoch; epoch 0 is its head after the warm-up.

    `rung` says whether the epoch is a rung of ASHA, Hyperband or promotion. It is always false with
    the median rule, although that compares trials at every epoch from its grace epoch on.
    """

    trial: int
    epoch: int
    value: float
    rung: bool

    def __str__(self) -> str:
        return f"trial {self.trial} epoch {self.epoch}: {self.value:.4f}"


@dataclass(frozen=True)
class FeaturesWidened:
    """A backbone's activations do not fit into the dtype requested for its features.

    Its features are stored in the wider dtype `kept` instead of `requested`.
    """

    backbone: str
    requested: str
    kept: str

    def __str__(self) -> str:
        return (
            f"{file_name(self.backbone)}: activations do not fit into {self.requested}: its "
            f"features are kept as {self.kept}, which takes twice the space"
        )


@dataclass(frozen=True)
class WorkerLost:
    """The worker process of a trial died without reporting an error.

    `left` says whether a node, probably its own, left the cluster at about that time. A trial that
    is `retried` continues from its saved state.
    """

    trial: int
    epoch: int
    left: bool
    retried: bool

    def __str__(self) -> str:
        died = "its process died without an error message"
        why = "its node left the cluster" if self.left else died
        then = "it continues in another process" if self.retried else "it is not retried"
        return f"trial {self.trial} was lost after epoch {self.epoch} because {why}: {then}"


@dataclass(frozen=True)
class TrialEnded:
    """A trial ended: its state and the reason in words, its best epoch, and the current leader.

    `ended` of `trials` have ended. `leader` is the best trial so far, None before the first value.
    """

    trial: int
    state: State
    reason: str
    config: Mapping[str, object]
    value: float | None
    best_epoch: int | None
    epochs: int
    seconds: float
    ended: int
    trials: int
    leader: int | None
    leader_value: float | None

    def __str__(self) -> str:
        value = "no value" if self.value is None else f"{self.value:.4f} at epoch {self.best_epoch}"
        reason = self.reason.splitlines()[-1] if self.reason else self.state
        progress = (
            f"[{self.ended}/{self.trials}] trial {self.trial} {describe_configuration(self.config)}"
        )
        return f"{progress}: {value}; {reason}{self._lead()}"

    def _lead(self) -> str:
        if self.leader is None or self.leader_value is None:
            return ""
        if self.leader == self.trial:
            return " (best so far)"
        return f" (best: trial {self.leader}, {self.leader_value:.4g})"


@dataclass(frozen=True)
class Confirming:
    """The best trials are about to be trained again on fresh seeds: `runs` runs in all."""

    trials: int
    runs: int

    def __str__(self) -> str:
        best = "the best trial" if self.trials == 1 else f"the {self.trials} best trials"
        times = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return f"confirming {best}: {times} on fresh seeds"


@dataclass(frozen=True)
class ConfirmationRunEnded:
    """A confirming run ended; `refined` says whether it trained the winner further."""

    trial: int
    seed: int
    value: float | None
    refined: bool

    def __str__(self) -> str:
        what = "refined" if self.refined else f"on seed {self.seed}"
        value = "no value" if self.value is None else f"{self.value:.4f}"
        return f"trial {self.trial} {what}: {value}"


@dataclass(frozen=True)
class Exporting:
    """The winner is about to be exported and evaluated on the test split."""

    def __str__(self) -> str:
        return "exporting the winner, and evaluating it on the test split"


@dataclass(frozen=True)
class Stopping:
    """The user asked the search to stop."""

    def __str__(self) -> str:
        return "stopping: finished trials will be ranked; interrupt again to end at once"


@dataclass(frozen=True)
class BudgetSpent:
    """Earlier drivers used up the study's time budget: no further trial is trained."""

    budget_s: float
    spent_s: float

    def __str__(self) -> str:
        return (
            f"the time budget of {self.budget_s:.0f} s is used up ({self.spent_s:.0f} s spent): "
            "no more trials are trained; `tlsearch resume DIR --time +10m` extends the budget"
        )


@dataclass(frozen=True)
class StudyEnded:
    """The search is over.

    `why` is finished, out of time, interrupted, or failed. `reason` says why a search finished
    before its last trial; it is "" otherwise.
    """

    why: str
    ended: int
    trials: int
    reason: str = ""

    def __str__(self) -> str:
        reason = f"; {self.reason}" if self.reason else ""
        return f"study {self.why}: {self.ended} of {self.trials} trials ended{reason}"


Event = (
    Phase
    | DataReading
    | DataRead
    | StudyBegan
    | Forecast
    | NoForecast
    | TrialBegan
    | EpochReported
    | FeaturesWidened
    | WorkerLost
    | TrialEnded
    | Confirming
    | ConfirmationRunEnded
    | Exporting
    | Stopping
    | BudgetSpent
    | StudyEnded
)
Listen = Callable[[Event], object]


def ignore_event(event: Event) -> None:
    """Ignore an event: the default listener."""


def describe_configuration(config: Mapping[str, Any]) -> str:
    """Describe a configuration in a few words: its backbone and how much of it is unfrozen."""
    return f"{file_name(config.get('backbone'))} unfrozen {Depth.of(config).label}"


def event_values(event: Event) -> dict[str, Any]:
    """Return an event as plain values; `event` is its name: study_began, trial_ended, ..."""
    name = type(event).__name__
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
    return {"event": words, **dataclasses.asdict(event)}


class Listeners:
    """All listeners as one that never raises: a listener that fails is removed, with a warning."""

    def __init__(self, *listeners: Listen) -> None:
        self._all = list(listeners)

    def add(self, listen: Listen) -> None:
        """Add a listener for later events."""
        self._all.append(listen)

    def __call__(self, event: Event) -> None:
        """Pass an event to every listener."""
        for listen in tuple(self._all):
            try:
                listen(event)
            except Exception as error:  # a listener is the caller's code: anything can happen
                self._all.remove(listen)
                log.warning("a listener failed and is removed: %s: %s", type(error).__name__, error)
