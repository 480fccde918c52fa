"""Replay: train one trial of a study again in this process, and compare it with its record."""

import contextlib
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tlsearch.base.errors import ConfigError, OutOfMemoryError, RecordError, TlsearchError
from tlsearch.base.machine import machine
from tlsearch.config.device import PICTURES, rounding_share
from tlsearch.config.location import Location
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare
from tlsearch.results.record.directory import package_versions
from tlsearch.results.record.file_names import CURVE, in_trial
from tlsearch.results.record.journal import State, TrialRecord
from tlsearch.results.remote.copies import fetch_file
from tlsearch.results.report.page_files import Artifacts
from tlsearch.search.handle import Study, open_study, require_same_images
from tlsearch.search.trial.weight_files import warn_of_unknown_weights
from tlsearch.search.trial.workplace import Workplace, workplace

if TYPE_CHECKING:
    from tlsearch.training.trial import EpochReport

LOSSES = ("train_loss", "validation_loss")

Numbers = Mapping[str, float | None]  # None stands for NaN and infinities
Change = tuple[str | None, str | None]  # value then, value now; None if unknown


@dataclass(frozen=True)
class EpochPair:
    """An epoch as recorded and as replayed: the metric `value`, and the losses if recorded."""

    epoch: int
    recorded: Numbers
    replayed: Numbers

    @property
    def difference(self) -> float:
        """The largest difference of any of its numbers; 0 if all bits are equal."""
        return max(self._apart(name) for name in self.recorded)

    def within(self, tolerance: float) -> bool:
        """Whether the metric differs from the record by at most `tolerance`, times the recorded
        value if that is above 1.
        """
        return self._apart("value") <= tolerance * max(1.0, abs(self.recorded["value"] or 0.0))

    def _apart(self, name: str) -> float:
        then, now = self.recorded[name], self.replayed[name]
        if then is None or now is None:
            return 0.0 if then is now else math.inf
        return abs(then - now)


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    `ended` says how the trial ended before its last epoch, as recorded and now; each is "" if it
    did not. `failure` is the traceback of the error that it raised now. `differs` holds the package
    versions and the machine that differ from the record. `exact` says whether every bit must be
    equal; otherwise the metric may differ by `tolerance`.
    """

    trial: int
    state: State
    metric: str
    epochs: tuple[EpochPair, ...]
    ended: tuple[str, str]
    failure: str
    differs: Mapping[str, Change]
    exact: bool
    tolerance: float
    threads: int

    @property
    def equal(self) -> bool:
        """Whether everything equals the record, to the last bit."""
        return self.ended[0] == self.ended[1] and not self.difference

    @property
    def matched(self) -> bool:
        """Whether the replay agrees with the record as closely as can be expected."""
        near = all(pair.within(self.tolerance) for pair in self.epochs)
        return self.equal if self.exact else near and self.ended[0] == self.ended[1]

    @property
    def difference(self) -> float:
        """The largest difference of any number in any epoch."""
        return max((pair.difference for pair in self.epochs), default=0.0)


def replay(
    study: Study | Location, number: int, listen: Callable[[EpochPair], object] = lambda pair: None
) -> Replay:
    """Train a trial again from its configuration, up to the last epoch of its record.

    Imports TensorFlow, which must not already run with another number of threads. Writes only
    features, into the cache. Calls `listen` after each epoch. Raises ConfigError if there is no
    such trial or it has reported nothing, RecordError if the record is damaged or the images have
    changed, WeightsError if the pretrained weights have changed.
    """
    study = open_study(study)
    row = _row(study, number)
    trial, where = _configuration(study, row), _workplace(study.config, study, row)
    if row.network is None:
        warn_of_unknown_weights(study.home)
    differs, gpus = _differences(study, row)
    fetch_file(study.home, in_trial(number, CURVE))
    halves = _recorded_epochs(study, row)
    pairs, end, failure = _again(_until(_epochs(where, trial, row), _last(row)), halves, listen)
    numerics = where.device.numerics(trial.backbone, trial.precision)
    pictures = len(where.data.splits["validation"])
    exact, tolerance = comparison(trial.precision, numerics, not (differs or gpus), pictures)
    return Replay(
        trial=number,
        state=row.state,
        metric=study.config.metric,
        epochs=tuple(pairs),
        ended=(_recorded_end(row), end),
        failure=failure,
        differs=differs,
        exact=exact,
        tolerance=tolerance,
        threads=where.cpus,
    )


def comparison(precision: str, numerics: str, alike: bool, pictures: int) -> tuple[bool, float]:
    """Return whether every bit of a replay must equal the record, and the tolerance of the metric
    if not.

    `precision` and `numerics` (`DeviceProfile.numerics`) are those of the trial. `alike` says that
    versions and machine are those of the record and no GPU is present. GPUs sum in a different
    order on each run, and XLA in an order of its own. `pictures` is the size of the validation
    split.
    """
    return alike and not numerics, max(rounding_share(precision), PICTURES / pictures)


def _epochs(where: Workplace, trial: TrialConfig, row: TrialRecord) -> Iterator["EpochReport"]:
    dtype = row.feature_dtype or trial.feature_dtype
    yield from where.train(trial, network=row.network, feature_dtype=dtype)


def _again(
    epochs: Iterator["EpochReport"],
    halves: Mapping[int, EpochPair],
    listen: Callable[[EpochPair], object],
) -> tuple[list[EpochPair], str, str]:
    """The replayed epochs beside their recorded halves; how the trial ended early; a traceback."""
    pairs: list[EpochPair] = []
    try:
        for report in epochs:
            if report.diverged:
                return pairs, _describe_divergence(report.epoch), ""
            if report.epoch in halves:
                pairs.append(_pair(halves[report.epoch], report))
                listen(pairs[-1])
    except Exception as error:
        if _is_unrelated_to_trial(error):
            raise
        return pairs, _describe_failure(len(pairs)), traceback.format_exc()
    short = len(pairs) < len(halves)
    return pairs, f"ended after {len(pairs)} epochs" if short else "", ""


def _row(study: Study, number: int) -> TrialRecord:
    row = next((trial for trial in study.record().trials if trial.number == number), None)
    if row is None:
        raise ConfigError([f"{study.home.root}: there is no trial {number}"])
    if not row.values and row.state not in ("diverged", "failed"):
        raise ConfigError([f"{study.home.root}: trial {number} has reported nothing yet"])
    return row


def _configuration(study: Study, row: TrialRecord) -> TrialConfig:
    try:
        return TrialConfig(**row.config)
    except ValidationError as error:
        why = f"{study.home.journal_file}: damaged, trial {row.number} has no configuration"
        raise RecordError(f"{why} ({error.errors()[0]['msg']})") from error


def _workplace(config: SearchConfig, study: Study, row: TrialRecord) -> Workplace:
    """The study's workplace, with the number of threads that the trial had."""
    from tlsearch.training.runtime import limit_resources

    threads = row.threads or config.resources.cpus_per_trial
    try:  # before TensorFlow Datasets, which may read the images, initialises TensorFlow
        limit_resources(threads, config.resources.gpus_per_trial)
    except RuntimeError as error:
        problem = f"TensorFlow runs in this process with other threads than the {threads} of trial"
        raise ConfigError([f"{problem} {row.number}; replay it in a process of its own"]) from error
    data = prepare(config.data, config.cache_path, budget_bytes=int(config.cache_gb * 1e9))
    require_same_images(study, data)
    known = workplace(config, data, study.home.root, device=study.home.device())
    return replace(known, cpus=threads)


def _recorded_epochs(study: Study, row: TrialRecord) -> dict[int, EpochPair]:
    """The recorded half of each epoch: the journal's value, the losses of the learning curve."""
    curve = {point["epoch"]: point for point in Artifacts(study.home).curves(row.number)}
    found = {}
    for epoch, value in row.values.items():
        kept = {name: curve[epoch][name] for name in LOSSES if name in curve.get(epoch, {})}
        found[epoch] = EpochPair(epoch, {"value": value, **kept}, {})
    return found


def _pair(half: EpochPair, report: "EpochReport") -> EpochPair:
    numbers: dict[str, float] = {name: getattr(report, name) for name in half.recorded}
    return replace(
        half, replayed={name: x if math.isfinite(x) else None for name, x in numbers.items()}
    )


def _last(row: TrialRecord) -> int:
    """The last epoch to train; for a diverged or failed trial, the epoch in which it broke."""
    broke = row.state in ("diverged", "failed")
    return max(row.values, default=-1) + (1 if broke else 0)


def _until(epochs: Iterator["EpochReport"], last: int) -> Iterator["EpochReport"]:
    with contextlib.closing(epochs):  # type: ignore[type-var]
        for report in epochs:
            yield report
            if report.diverged or report.epoch >= last:
                return


def _recorded_end(row: TrialRecord) -> str:
    if row.state == "diverged":
        return _describe_divergence(_last(row))
    return _describe_failure(len(row.values)) if row.state == "failed" else ""


def _describe_divergence(epoch: int) -> str:
    return f"diverged at epoch {epoch}"


def _describe_failure(reports: int) -> str:
    return f"failed after {reports} epochs"


def _is_unrelated_to_trial(error: Exception) -> bool:
    known = isinstance(error, TlsearchError) and not isinstance(error, OutOfMemoryError)
    return known or isinstance(error, OSError)


def _differences(study: Study, row: TrialRecord) -> tuple[dict[str, Change], tuple[str, ...]]:
    """The versions and the machine that differ from the record, and the GPUs of this machine."""
    from tlsearch.training.runtime import gpu_names

    gpus = gpu_names()
    recorded = row.machine or study.about.get("machine")
    then = {**versions_of_trial(study.about, row.number), "machine": recorded}
    now = {**package_versions(), "machine": machine(gpus)}
    changes = {name: (then.get(name), now.get(name)) for name in {**then, **now}}
    return {name: change for name, change in changes.items() if change[0] != change[1]}, gpus


def versions_of_trial(about: Mapping[str, Any], number: int) -> dict[str, str]:
    """The versions that a trial began with: those of the last extension before it, or else those of
    the study.
    """
    found: dict[str, str] = about.get("versions", {})
    for extension in about.get("extended", []):
        if number >= extension["after_trials"]:
            found = extension["versions"]
    return found
