"""One trial: head warm-up, then its own phase, as a generator of epoch reports."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.bundle.metrics import Labels, accuracy, log_loss, score
from tlsearch.config.trial import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureStore
from tlsearch.training.backbone import load_backbone
from tlsearch.training.checkpoint import Checkpoint
from tlsearch.training.cost import trained_share
from tlsearch.training.loop import Array, Loop, build_optimizer, trial_optimizer
from tlsearch.training.model import Arrays, Network, parameter_count
from tlsearch.training.prefix import Features
from tlsearch.training.seeds import derive

WARM_UP_BATCH = 32


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave. Epoch 0 is the head after warm-up; `value` is the study's metric.

    `trained_share` is the share of multiply-adds in layers that train.
    `train_loss` is the mean over the epoch's own steps, dropout active; NaN for epoch 0 without
    warm-up. `snapshot()` copies the state that a resumed trial starts from.
    """

    epoch: int
    value: float
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    trained_parameters: int
    trained_share: float
    snapshot: Callable[[], Checkpoint] = field(compare=False, repr=False)

    @property
    def diverged(self) -> bool:
        """Whether the network's outputs, and so the metric, are no longer numbers."""
        bad_loss = self.epoch > 0 and not math.isfinite(self.train_loss)
        return bad_loss or not math.isfinite(self.value)


def train(
    trial: TrialConfig, data: ImageData, store: FeatureStore, start: Checkpoint | None = None
) -> Iterator[EpochReport]:
    """Train one configuration, yielding after each epoch; closing the iterator stops it cleanly.

    With `start` the epochs after the checkpoint's are trained, and are those of an unbroken run.
    """
    session = _Session(trial, data, store)
    if start is None:
        yield session.warm_up()
        first = 1
    else:
        session.restore(start)
        first = start.epoch + 1
    for epoch in range(first, trial.epochs + 1):
        yield session.run(epoch)


class _Session:
    """The state of one trial while it runs: network, optimizer, and the arrays it trains on."""

    def __init__(self, trial: TrialConfig, data: ImageData, store: FeatureStore) -> None:
        backbone = load_backbone(trial.backbone, trial.weights, trial.image_px)
        self.trial = trial
        self.network = Network(trial, backbone, len(data.classes))
        self.labels = data.split_labels("train")
        self.validation_labels = data.split_labels("validation")
        self.features = Features(self.network, data, store)
        variables = self.network.trainable_variables()
        self.trained_parameters = parameter_count(variables)
        self.trained_share = trained_share(backbone.model.layers, self.network.head.layers)
        self.train_rows: Array = self.features.at_cut("train")
        self.validation_rows: Array = self.features.at_cut("validation")
        optimizer = trial_optimizer(trial)
        self.loop = Loop(
            self.network.logits, self.train_rows, variables, optimizer, trial.batch_size
        )

    def warm_up(self) -> EpochReport:
        """Train the head alone on pooled features, by the study's fixed recipe: epoch 0."""
        begun, trial, head = time.perf_counter(), self.trial, self.network.head
        pooled, validation = self.features.pooled("train"), self.features.pooled("validation")
        optimizer = build_optimizer("adam", trial.warm_up_lr, 0.0)
        loop = Loop(
            lambda x, training: head(x, training=training),
            pooled,
            head.trainable_variables,
            optimizer,
            WARM_UP_BATCH,
        )
        loss = math.nan
        for epoch in range(trial.warm_up_epochs):
            self.network.reseed(trial.seed, -1 - epoch)
            loss = loop.train(pooled, self.labels, self._order("warm-up", epoch))
        return self._report(0, loss, loop.predict(validation), begun)

    def run(self, epoch: int) -> EpochReport:
        """Train and validate one epoch of the trial's own phase."""
        begun = time.perf_counter()
        self.network.reseed(self.trial.seed, epoch)
        loss = self.loop.train(self.train_rows, self.labels, self._order("order", epoch))
        return self._report(epoch, loss, self.loop.predict(self.validation_rows), begun)

    def restore(self, start: Checkpoint) -> None:
        """Take up where a checkpoint of the same trial left off."""
        self.network.restore(start.arrays)
        for variable, value in self._optimizer_state(start.arrays):
            variable.assign(value)

    def _order(self, purpose: str, epoch: int) -> NDArray[np.int64]:
        generator = np.random.default_rng(derive(self.trial.seed, purpose, epoch))
        return generator.permutation(len(self.labels))

    def _report(
        self, epoch: int, loss: float, probabilities: NDArray[Any], begun: float
    ) -> EpochReport:
        labels: Labels = self.validation_labels
        return EpochReport(
            epoch=epoch,
            value=score(self.trial.metric, labels, probabilities),
            train_loss=loss,
            validation_loss=log_loss(labels, probabilities),
            validation_accuracy=accuracy(labels, probabilities),
            seconds=time.perf_counter() - begun,
            trained_parameters=self.trained_parameters,
            trained_share=self.trained_share,
            snapshot=lambda: Checkpoint(self.trial, epoch, self._arrays()),
        )

    def _arrays(self) -> Arrays:
        state = self.loop.optimizer.variables
        optimizer = {f"optimizer/{place}": v.numpy() for place, v in enumerate(state)}
        return {**self.network.changed(), **optimizer}

    def _optimizer_state(self, arrays: Arrays) -> Iterator[tuple[Any, NDArray[Any]]]:
        for place, variable in enumerate(self.loop.optimizer.variables):
            yield variable, arrays[f"optimizer/{place}"]
