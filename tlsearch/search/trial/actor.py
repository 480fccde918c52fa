"""The Ray actor of trials: one warm TensorFlow process that runs many trials in turn."""

import contextlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from tlsearch.base.digests import sha256
from tlsearch.base.errors import OutOfMemoryError, TlsearchError
from tlsearch.base.files import disk_error, path_in_errors, write_text
from tlsearch.base.links import append_only
from tlsearch.base.machine import machine, without_local_folders
from tlsearch.base.phases import heard_by
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.live.progress import of_trial
from tlsearch.results.record.curve import read_curve
from tlsearch.results.record.file_names import BEST, CURVE, LOG, PREDICTIONS, RESUME
from tlsearch.results.record.journal import KEPT
from tlsearch.results.record.predictions import Predictions
from tlsearch.search.cluster.node_checks import require_here
from tlsearch.search.cluster.nodes import LOOK_EVERY_S, here_is_leaving
from tlsearch.search.cluster.trial_transfer import TrialFolder, trial_folder
from tlsearch.search.relay import send
from tlsearch.search.trial.curve_point import curve_point
from tlsearch.search.trial.workplace import Workplace

if TYPE_CHECKING:
    from tlsearch.training.checkpoint import Checkpoint
    from tlsearch.training.trial import EpochReport

RESUME_EVERY_S = 2.0  # the least time between two saved states of a trial
RESUME_SHARE = 0.01  # the share of a trial's time that saving its state may take
SLOT_BYTES = 6 * 2**30  # a process above this size drops what it cached for later trials


AGAIN = "again"  # the key of a configuration that holds a run to train again, as text
TRAINED = "trained"  # the key of its result that holds the trained run, as text
LEAVES = "this node is leaving: the trial continues on another one"
Again = Callable[[str, Workplace], str]


class TrialActor(tune.Trainable):
    """A trial as a Ray Tune Trainable: one step is one epoch with one result.

    The results of all epochs have the same keys. An error inside a trial is reported in its result
    and not raised, so that the warm process survives it.
    """

    def setup(
        self, config: dict[str, Any], workplace: Workplace, again: Again | None = None
    ) -> None:
        """Prepare the first trial; its first step starts TensorFlow within the granted CPUs.

        `again` trains the runs that follow the trials, such as confirmations, in this process.
        """
        self.workplace, self._again = workplace, again
        if workplace.networks is not None:
            workplace.networks()  # the configuration of a trial needs them
        self._looked = 0.0
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Prepare another trial in the same process.

        The process drops what it cached for later trials if it exceeds `SLOT_BYTES`.
        """
        self._end()
        if "tensorflow" in sys.modules:
            from tlsearch.training.runtime import release_memory

            release_memory(SLOT_BYTES)
        self._begin(new_config)
        return True

    def step(self) -> dict[str, object]:
        """Train one epoch, hand its files over to the driver, and return the result.

        If this node is about to leave the cluster, save the trial and exit instead. If the
        configuration holds a run to train again, train that.
        """
        self._leave_in_time()
        if self._job is not None:
            return self._train_run(self._job)
        result = self._train_epoch()
        self._hand_over()
        return result

    def _train_epoch(self) -> dict[str, object]:
        try:
            if self._waits and self._folder is not None:
                self._lock(self._folder)
            else:
                self._save_resume_state()
            with heard_by(send, of_trial(self._number)):
                report = next(self._epochs)
            self._keep(report)
            self._leave_at_rung(report)
        except OutOfMemoryError as error:  # a problem of this configuration alone
            return self._failure_result(str(error), type(error).__name__, fatal=False)
        except TlsearchError as error:
            return self._failure_result(str(error), type(error).__name__, fatal=True)
        except OSError as error:  # a full disk, a lost folder: no other trial would fare better
            found = disk_error(error)
            if found is not None:
                return self._failure_result(str(found), type(found).__name__, fatal=True)
            return self._failure_result(
                f"{type(error).__name__}: {error}", "StudyError", fatal=True
            )
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
            return self._failure_result(traceback.format_exc(), where, fatal=False)
        return self._result(report)

    def _train_run(self, job: str) -> dict[str, object]:
        """Train a whole run in one step.

        The result of a failed run holds None for the run, and the error goes to the trial's log.
        The driver then trains the run in another worker and gets the error from there.
        """
        assert self._again is not None, "a search with confirmation runs passes `again`"
        place, trained = self.workplace, None
        try:
            with trial_folder(place.study, self._number, place.handover) as folder:
                folder.fetch(LOG)
                _log_to(folder.path / LOG)
            with heard_by(send):
                trained = self._again(job, place)
        except Exception:
            sys.stderr.write(traceback.format_exc())
        # No rung is at epoch 0, and no stopping rule takes NaN for the value of a trial.
        return {"epoch": 0, "value": math.nan, TRAINED: trained, "failure": None, "done": True}

    def cleanup(self) -> None:
        """Close the trial, because the actor ends."""
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Close the trial, because it is paused and another actor may continue it.

        Ray has nothing to save: the resume state is in the study directory.
        """
        self._end()

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: the resume state is read from the study directory at the next step."""

    def _begin(self, config: dict[str, Any]) -> None:
        self.trial = TrialConfig(**config["trial"])
        self._number: int = config["number"]
        self._network: str | None = config.get("network")
        self._job: str | None = config.get(AGAIN)
        self._folder: TrialFolder | None = None
        self._seconds = 0.0
        self._epoch = 0
        self._best: float | None = None
        self._kept: dict[str, str] = {}
        self._saved = self._started = time.monotonic()
        self._saving_s = 0.0
        self._last: EpochReport | None = None
        self._mine, self._waits = contextlib.ExitStack(), False
        self._epochs = self._train()

    def _train(self) -> Iterator["EpochReport"]:
        """Yield the trial's epochs, from its resume state if there is one; imports TensorFlow.

        The trial's folder is first used here, within `step`, so that a full disk is reported as a
        result.
        """
        place = self.workplace
        with trial_folder(place.study, self._number, place.handover) as folder:
            self._folder, self.home = folder, folder.path
            folder.fetch(LOG)
            _log_to(self.home / LOG)
            sys.stderr.write(json.dumps(self.trial.to_json()) + "\n")
            require_here(place.shared_file, place.versions)
            with self._mine:
                self._lock(folder)
                folder.fetch(RESUME, CURVE)
                yield from place.train(self.trial, self._resume_state(), self._network)

    def _lock(self, folder: TrialFolder) -> None:
        """Lock the trial, so that no other process trains it until `_mine` is closed."""
        self._mine.enter_context(folder.home.trial_locked(self._number))
        self._waits = False

    def _leave_at_rung(self, report: "EpochReport") -> None:
        """Save the resume state and unlock the trial after an epoch at which it may have to wait.

        Another worker on any node can then continue it. This happens before the epoch is reported,
        so that a trial can be continued from every such epoch in the journal.
        """
        if report.epoch in self.workplace.rungs and not (report.diverged or report.last):
            report.snapshot().save(self.home / RESUME)
            self._mine.close()
            self._waits = True

    def _resume_state(self) -> "Checkpoint | None":
        from tlsearch.base.errors import RecordError
        from tlsearch.training.checkpoint import load_checkpoint

        start = None
        if (self.home / RESUME).is_file():
            try:
                start = load_checkpoint(self.home / RESUME)
            except RecordError as error:
                sys.stderr.write(f"{error}: starting over\n")
        if start is not None and start.trial != self.trial:
            start = None
        if start is not None and not {*range(start.epoch + 1)} <= self._known_epochs():
            sys.stderr.write(f"{CURVE} lacks an epoch, or is damaged: starting over\n")
            start = None
        self._forget_after(-1 if start is None else start.epoch)
        return start

    def _known_epochs(self) -> set[int]:
        return {line["epoch"] for line in read_curve(self.home / CURVE)}

    def _forget_after(self, epoch: int) -> None:
        """Restore the learning curve, the time and the best value as of the resumed epoch."""
        kept = [line for line in read_curve(self.home / CURVE) if line["epoch"] <= epoch]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_text(self.home / CURVE, text)
        self._seconds = sum(line["seconds"] for line in kept)
        for line in kept:
            if line["value"] is not None and self._leads(line["epoch"], line["value"]):
                self._best = line["value"]

    def _leads(self, epoch: int, value: float) -> bool:
        """Whether an epoch counts for the trial's score and is its best so far."""
        return self.trial.ranks(epoch) and self.workplace.better(value, self._best)

    def _keep(self, report: "EpochReport") -> None:
        """Append the epoch to the learning curve; if it is the best so far, save its weights and
        its predictions for the validation images.
        """
        self._epoch = report.epoch
        self._last = report
        self._seconds += time.monotonic() - self._started
        self._started = time.monotonic()
        curve = self.home / CURVE
        with path_in_errors(curve), append_only(curve) as file:
            line = json.dumps(curve_point(report, self.workplace.every_batch)) + "\n"
            file.write(line.encode())
        if report.diverged:
            return
        if self._leads(report.epoch, report.value):
            self._best = report.value
            report.snapshot().save(self.home / BEST, weights_only=True)
            true = self.workplace.data.split_labels("validation")
            Predictions(report.epoch, true, report.predicted).save(self.home / PREDICTIONS)
            self._kept = {name: sha256(self.home / name) for name in (BEST, PREDICTIONS)}

    def _save_resume_state(self) -> None:
        """Save the resume state from time to time, before the next epoch begins.

        The last epoch is in the journal by then, so a resumed trial never starts after an epoch
        that the journal does not have.
        """
        if self._last is None:
            return
        if time.monotonic() - self._saved > max(RESUME_EVERY_S, self._saving_s / RESUME_SHARE):
            began = time.monotonic()
            self._last.snapshot().save(self.home / RESUME)
            self._saved = time.monotonic()
            self._saving_s = self._saved - began

    def _hand_over(self) -> None:
        """Send the files that this trial has written so far to the driver's node."""
        if self._folder is not None:
            self._folder.hand_over()

    def _leave_in_time(self) -> None:
        """Save the trial and end this process if its node is about to leave the cluster.

        Another process continues the trial. To Ray the actor has died, so it gets no other trial.
        """
        if not self.workplace.on_cluster or time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        if here_is_leaving():
            if self._last is not None:
                self._last.snapshot().save(self.home / RESUME)
            self._hand_over()
            sys.stderr.write(f"{LEAVES}\n")
            ray.actor.exit_actor()

    def _result(self, report: "EpochReport") -> dict[str, object]:
        from tlsearch.training.runtime import gpu_names

        done = report.diverged or report.last
        return {
            "epoch": report.epoch,
            "value": report.value,
            "diverged": report.diverged,
            "gave_up": report.last and report.epoch < self.trial.epochs,
            "failure": None,
            "failure_at": None,
            "fatal": False,
            "seconds": self._seconds,
            "network": report.network,
            KEPT: json.dumps(self._kept),  # Ray flattens nested values
            "feature_dtype": report.feature_dtype,
            "trained_parameters": report.trained_parameters,
            "trained_share": report.work.trained_share,
            "work": json.dumps(asdict(report.work)),
            "machine": machine(gpu_names()),
            "threads": self.workplace.cpus,
            "done": done,
        }

    def _failure_result(self, text: str, where: str, fatal: bool) -> dict[str, object]:
        text = without_local_folders(text)
        with contextlib.suppress(OSError):  # the log may be on the full disk
            sys.stderr.write(text + "\n")
        return {
            "epoch": self._epoch,
            "value": float("nan"),
            "diverged": False,
            "failure": text.strip(),
            "failure_at": where,
            "fatal": fatal,
            "seconds": self._seconds + time.monotonic() - self._started,
            "done": True,
        }

    def _end(self) -> None:
        self._last = None
        with contextlib.suppress(AttributeError):
            self._epochs.close()  # type: ignore[attr-defined]


def _log_to(path: Path) -> None:
    """Redirect this process's output, including that of native code, to the trial's log."""
    with append_only(path) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
