"""One trial as a generator of epoch reports: head warm-up, then the epochs of the trial itself."""

import logging
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
from tlsearch.features import FeatureStore, TooLargeError
from tlsearch.training.checkpoint import Checkpoint
from tlsearch.training.epoch.executor import Executor, out_of_memory, shared_executor
from tlsearch.training.epoch.history import Batches, Trained
from tlsearch.training.frozen.prefix import backbone_key
from tlsearch.training.session import Session
from tlsearch.training.work_done import Work

ATTEMPTS = (1, 1, 2)  # pieces per step in each attempt; the next follows if memory runs out

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochReport:
    """The result of one epoch. Epoch 0 is the head after warm-up; `value` is the study's metric.

    `train_loss`, `train_value` and `train_accuracy` come from the steps of the epoch, with dropout
    active; they are NaN for epoch 0 without warm-up. `batches` holds the loss and accuracy of each
    step. `work` counts the trial's multiply-adds so far. `last` says whether the trial ends with
    this epoch, by its number of epochs or by its own early stopping. `predicted` is the predicted
    class of each validation image, (images,). `network` is the digest of the pretrained network,
    `feature_dtype` the type in which its features were stored. `snapshot()` copies the state from
    which the trial can be resumed.
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
    feature_dtype: str
    work: Work
    last: bool
    batches: Batches = field(repr=False)
    predicted: NDArray[np.int64] = field(compare=False, repr=False)
    snapshot: Callable[[], Checkpoint] = field(compare=False, repr=False)

    @property
    def diverged(self) -> bool:
        """Whether the training loss or the metric is no longer a finite number."""
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

    With `start`, training continues after the checkpoint's epoch, and the reports equal those of an
    uninterrupted run. `executor` holds what the process keeps between trials; only one trial may
    use it at a time. `recorded` is the expected digest of the pretrained network, if known. Raises
    WeightsError if the digest differs.

    A trial whose activations do not fit into its feature type starts again with a wider type, and
    all later trials of its backbone use that type. A trial that runs out of memory starts again
    after the process has released everything it keeps for other trials, and then again with each
    step split in two. Raises OutOfMemoryError if that fails too.
    """
    executor = executor or shared_executor()
    if start is not None and start.feature_dtype is not None:
        store = store.with_dtype(start.feature_dtype)
    attempts, reported = iter(ATTEMPTS), -1
    pieces = next(attempts)
    while True:
        session, too_large = None, None
        try:
            session = Session(trial, data, store, executor, pieces, recorded)
            for report in _epochs(session, start):
                if report.epoch > reported:
                    yield report
                    reported = report.epoch
            return
        except TooLargeError as error:
            too_large = str(error)
        except tf.errors.OpError as error:
            if not out_of_memory(error):
                raise
            no_room = str(error).splitlines()[0]
        if session is not None:
            session.release()
        if too_large is not None:
            store = _widen_store(store, trial, data, executor, too_large)
            continue
        freed, pieces = executor.release_all(), next(attempts, 0)
        log.warning(
            "out of memory (%s): freed %d MB that were kept for later trials",
            *(no_room, freed / 1e6),
        )
        if not pieces:
            raise OutOfMemoryError(
                f"out of memory at batch_size {trial.batch_size}, even with the batch split in two "
                f"and nothing kept from other trials ({no_room}); choose a smaller batch_size, "
                "image_px or backbone"
            )


def _widen_store(
    store: FeatureStore, trial: TrialConfig, data: ImageData, executor: Executor, why: str
) -> FeatureStore:
    """Return the store for a trial whose activations do not fit into 16 bits; log one warning."""
    backbone = executor.network(trial, len(data.classes)).backbone
    wider = store.widen(backbone_key(trial, backbone, data))
    log.warning("%s: %s: its features are kept as %s", trial.backbone, why, wider.dtype)
    return wider


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
    predicted = probabilities.argmax(axis=1)
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
        validation_accuracy=float((predicted == labels).mean()),
        predicted=predicted,
        seconds=time.perf_counter() - begun,
        trained_parameters=session.trained_parameters,
        network=session.network,
        feature_dtype=session.feature_dtype,
        work=session.work(epoch),
        snapshot=lambda: Checkpoint(
            trial,
            epoch,
            session.arrays(),
            session.network,
            feature_dtype=session.feature_dtype,
        ),
    )
