"""What happens during a search, an event each; `str(event)` is its line for people."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tlsearch.base.phases import Phase
from tlsearch.config.catalog import Direction
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.spelling import file_name
from tlsearch.results.record.journal import State

log = logging.getLogger(__name__)

APART = 1.5  # the upper end of a forecast's range over its lower end


@dataclass(frozen=True)
class DataReading:
    """The images are about to be read."""

    kind: str

    def __str__(self) -> str:
        return f"reading the images ({self.kind})"


@dataclass(frozen=True)
class DataRead:
    """The images are read: how many classes, and images a split."""

    classes: int
    images: Mapping[str, int]

    def __str__(self) -> str:
        sizes = ", ".join(f"{count} {split}" for split, count in self.images.items())
        return f"{self.classes} classes; {sizes}"


@dataclass(frozen=True)
class StudyBegan:
    """The trials begin; `ended` of them had ended before, where a study goes on."""

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
class Span:
    """A time that is not known well, in seconds: the upper end is at most 1.5 times the lower."""

    low: float
    high: float

    @classmethod
    def around(cls, seconds: float) -> "Span":
        """As far below these seconds as above them, as a ratio."""
        return cls(seconds / APART**0.5, seconds * APART**0.5)

    def __str__(self) -> str:
        if self.high < 120:
            return f"{self.low:.0f} to {self.high:.0f} s"
        if self.high < 7200:
            return f"{self.low / 60:.0f} to {self.high / 60:.0f} min"
        return f"{self.low / 3600:.1f} to {self.high / 3600:.1f} h"


@dataclass(frozen=True)
class Forecast:
    """What a search is expected to take: seconds to the last trial's end, epochs, bytes on disk;
    then seconds to confirm the winner, and to export, test and report it.
    """

    seconds: float
    epochs: float
    bytes: int
    confirm_s: float = 0.0
    export_s: float = 0.0

    @property
    def whole(self) -> Span:
        """To the end of the search."""
        return Span.around(self.seconds + self.confirm_s + self.export_s)

    def __str__(self) -> str:
        return (
            f"forecast: {self.whole}, of which the trials take {self.seconds:.0f} s; "
            f"{self.epochs:.0f} epochs, {self.bytes / 1e6:.1f} MB on disk"
        )


@dataclass(frozen=True)
class Unforeseen:
    """Nothing is remembered that a forecast could be made from."""

    def __str__(self) -> str:
        return "no forecast: `tlsearch plan` makes one, and later searches of the kind show it"


@dataclass(frozen=True)
class TrialBegan:
    """A trial was proposed; it trains as soon as a slot is free."""

    trial: int
    config: Mapping[str, object]

    def __str__(self) -> str:
        return f"trial {self.trial} began: {what(self.config)}"


@dataclass(frozen=True)
class EpochReported:
    """A trial trained an epoch (0: its head's warm-up); `rung`: trials are compared at it."""

    trial: int
    epoch: int
    value: float
    rung: bool

    def __str__(self) -> str:
        return f"trial {self.trial} epoch {self.epoch}: {self.value:.4f}"


@dataclass(frozen=True)
class FeaturesWidened:
    """A backbone's activations do not fit into the type that its features were to be kept in."""

    backbone: str
    asked: str
    kept: str

    def __str__(self) -> str:
        return (
            f"{file_name(self.backbone)}: activations do not fit into {self.asked}: its features "
            f"are kept as {self.kept}, which takes twice the room"
        )


@dataclass(frozen=True)
class WorkerLost:
    """The process of a trial ended without a word; `left` where its node left the cluster.

    The trial goes on from its saved state where it is `retried`.
    """

    trial: int
    epoch: int
    left: bool
    retried: bool

    def __str__(self) -> str:
        why = "its node left the cluster" if self.left else "its process ended without a word"
        then = "it goes on in another process" if self.retried else "it is given up"
        return f"trial {self.trial} was lost after epoch {self.epoch}, as {why}: {then}"


@dataclass(frozen=True)
class TrialEnded:
    """A trial ended: its state and the reason in words, its best epoch, and who leads now.

    `ended` of `trials` have ended; `leader` is the best trial so far, None before the first value.
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
        progress = f"[{self.ended}/{self.trials}] trial {self.trial} {what(self.config)}"
        return f"{progress}: {value}; {reason}{self._lead()}"

    def _lead(self) -> str:
        if self.leader is None or self.leader_value is None:
            return ""
        if self.leader == self.trial:
            return " (best so far)"
        return f" (best: trial {self.leader}, {self.leader_value:.4g})"


@dataclass(frozen=True)
class Confirming:
    """The best trials are trained again, `runs` times in all, each with a fresh seed."""

    trials: int
    runs: int

    def __str__(self) -> str:
        best = "the best trial" if self.trials == 1 else f"the {self.trials} best trials"
        times = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return f"confirming {best}: {times} on fresh seeds"


@dataclass(frozen=True)
class ConfirmedOnce:
    """A run of the confirmation ended; `refined`: it trained the winner on."""

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
    """The best trial is exported and evaluated on the test split."""

    def __str__(self) -> str:
        return "exporting the best trial, and evaluating it on the test split"


@dataclass(frozen=True)
class Stopping:
    """The user asked for an end."""

    def __str__(self) -> str:
        return "stopping, what is done will be ranked; once more ends at once"


@dataclass(frozen=True)
class BudgetSpent:
    """The study's time was used up before this driver began: no trial is trained any more."""

    budget_s: float
    spent_s: float

    def __str__(self) -> str:
        return (
            f"the time budget of {self.budget_s:.0f} s is used up ({self.spent_s:.0f} s spent): "
            "no trial is trained; `tlsearch resume DIR --time +10m` adds to it"
        )


@dataclass(frozen=True)
class StudyEnded:
    """The search is over; `why`: finished, out of time, interrupted, or failed. `reason` says why
    one that finished did so before its last trial, "" where it did not.
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
    | Unforeseen
    | TrialBegan
    | EpochReported
    | FeaturesWidened
    | WorkerLost
    | TrialEnded
    | Confirming
    | ConfirmedOnce
    | Exporting
    | Stopping
    | BudgetSpent
    | StudyEnded
)
Listen = Callable[[Event], object]


def what(config: Mapping[str, Any]) -> str:
    """A configuration in a few words."""
    return f"{file_name(config.get('backbone'))} unfrozen {Depth.of(config).label}"


def plain(event: Event) -> dict[str, Any]:
    """An event as plain values, `event` its name: study_began, trial_ended, ..."""
    name = type(event).__name__
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
    return {"event": words, **dataclasses.asdict(event)}


class Listeners:
    """All listeners as one that never raises: one that fails is warned of once and left out."""

    def __init__(self, *listeners: Listen) -> None:
        self._all = list(listeners)

    def add(self, listen: Listen) -> None:
        """Have one more listener hear of later events."""
        self._all.append(listen)

    def __call__(self, event: Event) -> None:
        """Tell every listener of an event."""
        for listen in tuple(self._all):
            try:
                listen(event)
            except Exception as error:  # a listener is the caller's code: anything can happen
                self._all.remove(listen)
                log.warning(
                    "a listener failed and is left out: %s: %s", type(error).__name__, error
                )
