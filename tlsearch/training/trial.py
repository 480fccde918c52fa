"""One trial: head warm-up, then its own phase, as a generator of epoch reports."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlsearch.base.errors import OutOfMemoryError
from tlsearch.bundle.metrics import log_loss, score
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureStore
from tlsearch.training.checkpoint import Checkpoint
from tlsearch.training.epoch.executor import Executor, shared_executor
from tlsearch.training.epoch.history import Batches, Trained
from tlsearch.training.session import Session
from tlsearch.training.work_done import Work


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave. Epoch 0 is the head after warm-up; `value` is the study's metric.

    `train_loss`, `train_value` and `train_accuracy` are of the epoch's own steps, dropout active;
    NaN for epoch 0 without warm-up. `batches` are those steps one by one. `work` is what it took;
    `last` whether the trial ends with it, by its number of epochs or its own early stopping.
    `called` is the class that each validation image was called, (images,). `network` is the digest
    of the pretrained network; `snapshot()` copies the state that a resumed trial starts from.
    """

    epoch: int
    value: float
    train_loss: float
    train_value: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    trained_parameters: int
    network: str
    work: Work
    last: bool
    batches: Batches = field(repr=False)
    called: NDArray[np.int64] = field(compare=False, repr=False)
    snapshot: Callable[[], Checkpoint] = field(compare=False, repr=False)

    @property
    def diverged(self) -> bool:
        """Whether the network's outputs, and so the metric, are no longer numbers."""
        bad_loss = self.epoch > 0 and not math.isfinite(self.train_loss)
        return bad_loss or not math.isfinite(self.value)


def train(
    trial: TrialConfig,
    data: ImageData,
    store: FeatureStore,
    start: Checkpoint | None = None,
    executor: Executor | None = None,
    recorded: str | None = None,
) -> Iterator[EpochReport]:
    """Train one configuration, yielding after each epoch; closing the iterator stops it cleanly.

    With `start` the epochs after the checkpoint's are trained, and are those of an unbroken run.
    `executor` is what the process keeps between trials; one at a time may run in it. A trial for
    which memory does not suffice begins again with its steps taken in two halves, then raises
    OutOfMemoryError. `recorded` is the digest that the pretrained network must have, where one is
    known; WeightsError where it has another.
    """
    executor = executor or shared_executor()
    reported = -1
    try:
        for report in _epochs(Session(trial, data, store, executor, recorded=recorded), start):
            yield report
            reported = report.epoch
        return
    except tf.errors.ResourceExhaustedError:
        pass  # what the session held is freed behind this block
    try:
        halves = Session(trial, data, store, executor, pieces=2, recorded=recorded)
        for report in _epochs(halves, start):
            if report.epoch > reported:
                yield report
    except tf.errors.ResourceExhaustedError as error:
        raise OutOfMemoryError(
            f"out of memory at a batch of {trial.batch_size}, also in two halves "
            f"({str(error).splitlines()[0]})"
        ) from error


def _epochs(session: Session, start: Checkpoint | None) -> Iterator[EpochReport]:
    begun = time.perf_counter()
    if start is None:
        yield _report(session, 0, *session.warm_up(), begun)
    else:
        session.restore(start)
    for epoch in range(1 if start is None else start.epoch + 1, session.trial.epochs + 1):
        begun = time.perf_counter()
        report = _report(session, epoch, session.train(epoch), session.validate(), begun)
        yield report
        if report.last:
            return


def _report(
    session: Session, epoch: int, seen: Trained, probabilities: NDArray[np.float32], begun: float
) -> EpochReport:
    labels, trial = session.validation_labels, session.trial
    called = probabilities.argmax(axis=1)
    value = score(trial.metric, labels, probabilities)
    validation_loss = log_loss(labels, probabilities)
    gave_up = epoch > 0 and session.note(validation_loss, value)
    return EpochReport(
        epoch=epoch,
        value=value,
        train_loss=seen.loss,
        train_value=seen.value,
        train_accuracy=seen.accuracy,
        batches=seen.batches,
        validation_loss=validation_loss,
        last=epoch >= trial.epochs or gave_up,
        validation_accuracy=float((called == labels).mean()),
        called=called,
        seconds=time.perf_counter() - begun,
        trained_parameters=session.trained_parameters,
        network=session.network,
        work=session.work(epoch),
        snapshot=lambda: Checkpoint(trial, epoch, session.arrays(), session.network),
    )
