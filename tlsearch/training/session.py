"""A running trial: its network, its compiled epoch, and the arrays it trains on."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from tlsearch.base.errors import RecordError
from tlsearch.bundle.metrics import Labels
from tlsearch.config.catalog import METRICS
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureKey, FeatureStore
from tlsearch.pace import POOLED
from tlsearch.training.checkpoint import Checkpoint
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.epoch.history import Trained, noted_images, train_metrics
from tlsearch.training.epoch.loop import Loop
from tlsearch.training.epoch.prediction import Array
from tlsearch.training.epoch.schedule import gave_up, rate_factor
from tlsearch.training.frozen.prefix import Features, backbone_key
from tlsearch.training.frozen.views import View
from tlsearch.training.network.model import Arrays, parameter_count, put_back
from tlsearch.training.seeds import derive_seed
from tlsearch.training.work_done import Price, Work

WARM_UP_BATCH = 32
WARM_UP_OPTIMIZER = "adam"
HISTORY = "history"  # key in a checkpoint's arrays
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WarmedUp:
    """The result of the warm-up: the head's weights, its last epoch, and its validation
    predictions.
    """

    head: list[NDArray[np.float32]]
    last: Trained
    validation: Probabilities


class Session:
    """One trial in a warm process. With `pieces` > 1 each step is split into that many parts.

    Raises WeightsError if `recorded` is not the digest of the trial's pretrained network. The
    constructor and the methods raise TooLargeError if activations do not fit into `feature_dtype`.
    """

    def __init__(
        self,
        trial: TrialConfig,
        data: ImageData,
        store: FeatureStore,
        executor: Executor,
        pieces: int = 1,
        recorded: str | None = None,
    ) -> None:
        self.trial = trial
        self.validation_labels = data.split_labels("validation")
        self._labels = data.split_labels("train")
        self._executor = executor
        self._classes = len(data.classes)
        self._network = executor.network(trial, self._classes)
        if recorded is not None:
            self._network.backbone.require(recorded)
        own_store = store.for_backbone(backbone_key(trial, self._network.backbone, data))
        self.feature_dtype = own_store.dtype
        self._features = Features(trial, self._network.backbone, data, own_store, executor)
        self._price = Price.of(self._network)
        self._variables = self._network.trainable_variables()
        self.trained_parameters = parameter_count(self._variables)
        self._validation = self._rows("validation", None)
        self._history: list[tuple[float, float]] = []  # validation loss and value, from epoch 1
        self._class_weights = class_weights(trial.class_weights, self._labels, self._classes)
        self._jit = executor.device.compiles(trial.backbone)
        jit = self._jit and not self._network.trains_batch_norm
        part = self._network.trained_part
        self._loop = executor.loop(part, self._validation, trial.optimizer, pieces, jit)
        self._begin_loop()

    def warm_up(self) -> tuple[Trained, Probabilities]:
        """Train the head alone on pooled features, by the study's fixed recipe, or reuse the result
        of an earlier trial with the same warm-up. Return the last epoch and the validation
        predictions.
        """
        if not self.trial.warm_up_epochs:
            return Trained(), self.validate()
        view = self.trial.view(1)
        train, validation = self._key("train", view), self._key("validation", None)
        labels = self._labels.tobytes()
        key = (train, validation, labels, self._network.head, *self._recipe())
        make = functools.partial(self._warm_up, view)
        size = 4 * len(self.validation_labels) * self._classes
        warmed = self._executor.warm_ups.get(key, make, size)
        self._network.head.model.set_weights(warmed.head)
        self._begin_loop()  # a frozen trial shares the loop if the optimizer is the warm-up's
        return warmed.last, warmed.validation

    def train(self, epoch: int) -> Trained:
        """Train one epoch of the trial itself, after the warm-up."""
        trial, losses = self.trial, [loss for loss, _ in self._history]
        factor = rate_factor(trial.schedule, epoch, trial.epochs, losses)
        self._loop.optimizer.learning_rate = trial.learning_rate * factor
        rows = self._rows("train", trial.view(epoch))
        self._network.reseed(self.trial.seed, epoch)
        return self._train(self._loop, rows, "order", epoch, self.trial.batch_size)

    def validate(self) -> Probabilities:
        """Return the class probabilities of the validation images, (n, classes)."""
        return self._loop.predict(self._validation)

    def note(self, loss: float, value: float) -> bool:
        """Record the validation loss and value of an epoch; return whether early stopping ends the
        trial.
        """
        self._history.append((loss, value))
        values = [value for _, value in self._history]
        return gave_up(values, self.trial.early_stopping, METRICS[self.trial.metric])

    @property
    def network(self) -> str:
        """The digest of the pretrained network, before any training."""
        return self._network.backbone.digest

    def work(self, epoch: int) -> Work:
        """Return the multiply-adds that the trial has computed so far, and the minimum that it
        needed.
        """
        train, validation = len(self._labels), len(self.validation_labels)
        price, backbone = self._price, self._network.backbone
        least = epoch * price.epoch(train, validation)
        return Work(
            done=float(least + self._features.multiply_adds),
            least=float(least),
            prefix=f"{backbone.row.name} {backbone.digest} {self.trial.image_px}",
            prefix_pass=float((train * self._views(epoch) + validation) * price.prefix),
            trained_share=price.share,
        )

    def _views(self, epoch: int) -> int:
        """Return how many distinct views of the training images the epochs so far have used."""
        return len({self.trial.view(e) for e in range(min(1, epoch), epoch + 1)})

    def arrays(self) -> Arrays:
        """Return a copy of everything that the next epoch depends on."""
        optimizer = {f"optimizer/{place}": v.numpy() for place, v in self._optimizer_state()}
        return {**self._network.changeable_values(), **optimizer, HISTORY: np.array(self._history)}

    def restore(self, start: Checkpoint) -> None:
        """Continue from a checkpoint; one that holds only weights starts with a new optimizer.

        Raises WeightsError if it belongs to other pretrained weights, RecordError if it is damaged.
        """
        start.require_for(self._network.backbone)
        start.restore_into(self._put_back)

    def release(self) -> None:
        """End the session: drop its arrays and its network, which a report's snapshot would
        otherwise keep alive.
        """
        del self._validation, self._features, self._loop, self._network, self._variables

    def _put_back(self, arrays: Arrays) -> None:
        known = arrays.get(HISTORY, np.empty((0, 2)))
        if known.size % 2:
            raise RecordError(f"{HISTORY}: found {known.shape}, expected pairs")
        self._network.restore(arrays)
        named = {f"optimizer/{place}": variable for place, variable in self._optimizer_state()}
        put_back(arrays, {name: v for name, v in named.items() if name in arrays})
        self._history = [(float(loss), float(value)) for loss, value in known.reshape(-1, 2)]

    def _optimizer_state(self) -> Iterator[tuple[int, keras.Variable]]:
        return iter(enumerate(self._loop.optimizer.state))

    def _begin_loop(self) -> None:
        trial = self.trial
        self._loop.begin(
            trial.learning_rate, trial.weight_decay, trial.label_smoothing, self._class_weights
        )

    def _rows(self, split: Split, view: int | None) -> Array:
        """Return the rows that an epoch iterates over, in memory if they fit."""
        sections = self._network.sections
        key = self._features.key(sections.name, split, view)
        rows = self._features.at_cut(split, view)
        if sections.from_images:
            # Images are the same for every backbone.
            key = replace(key, weights="", cut="images", preprocess="", dtype="uint8", device="")
        if isinstance(rows, View) and self._executor.device.has_memory:
            images = self._executor.hold(replace(key, view=""), rows.images)
            return replace(rows, images=images)
        return self._executor.hold(key, rows)

    def _key(self, split: Split, view: int | None) -> FeatureKey:
        return self._features.key(POOLED, split, view)

    def _recipe(self) -> tuple[int, float, int]:
        return self.trial.warm_up_epochs, self.trial.warm_up_lr, self.trial.seed

    def _warm_up(self, view: int | None) -> WarmedUp:
        train = self._features.pooled("train", view)
        validation = self._features.pooled("validation")
        head, last = self._network.head, Trained()
        loop = self._executor.loop(head, train, WARM_UP_OPTIMIZER, jit=self._jit)
        loop.begin(self.trial.warm_up_lr, 0.0)
        with head.without_dropout():
            for epoch in range(self.trial.warm_up_epochs):
                last = self._train(loop, train, "warm-up", epoch, WARM_UP_BATCH)
        return WarmedUp(head.model.get_weights(), last, loop.predict(validation))

    def _train(self, loop: Loop, rows: Array, purpose: str, epoch: int, batch: int) -> Trained:
        order = np.random.default_rng(derive_seed(self.trial.seed, purpose, epoch))
        permuted = order.permutation(len(self._labels))
        seed = derive_seed(self.trial.seed, "dropout", purpose, epoch)
        noted = noted_images(self.trial.metric, self._classes)
        steps = loop.train(rows, self._labels, permuted, batch, seed, noted)
        return train_metrics(self.trial.metric, self._labels[permuted], batch, steps)


def class_weights(kind: str, labels: Labels, classes: int) -> NDArray[np.float32] | None:
    """Return the loss weight of each class, (classes,), or None if all images count equally.

    The weights give every class the same total weight, and their mean over the training images is
    1. A class without images has weight 0.
    """
    if kind == "none":
        return None
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0).astype("f4")
