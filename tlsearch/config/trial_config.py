"""The whole truth of one trial: everything that training depends on besides the images."""

import hashlib
import json
from typing import Any

from pydantic import Field, model_validator

from tlsearch.config.augmentation import Augment
from tlsearch.config.catalog import SAME_OPTIMIZER, SCHEDULE_ACTS, plainest
from tlsearch.config.device import EXACT, Precision
from tlsearch.config.dimension import Frozen, Units
from tlsearch.config.networks.anatomy import Anatomy
from tlsearch.config.networks.lookup import known_row, row_of
from tlsearch.config.networks.unfreezing import RATES, Depth, Unfrozen


class TrialConfig(Frozen):
    """One configuration to train; hashable; training is equal where `effective` is.

    `views` is how many augmented views of the training images its epochs take in turn; 0 makes a
    new one for every epoch. They follow from `view_seed`, the study's, so that trials with other
    seeds share them. Without augmentation there is one view, the images themselves.
    `early_stopping` ends a trial after so many epochs without a better value.
    `unfrozen_blocks` is the request where it was in blocks: `unfrozen_layers`, what trains, follows
    from it where it is not given.
    `cut_layers`, where given, is at least `unfrozen_layers`: the frozen prefix ends as if so many
    layers were unfrozen, at a cut that it shares with other trials.
    """

    backbone: str
    weights: str = "default"
    unfrozen_layers: Unfrozen = 0
    unfrozen_blocks: Unfrozen | None = None
    cut_layers: Unfrozen | None = None
    train_batch_norm: bool = False
    pooling: str = "gap"
    head_units: Units = ()
    dropout: float = 0.0
    head_lr: float | None = None
    fine_tune_lr: float | None = None
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    schedule: str = "constant"
    class_weights: str = "none"
    label_smoothing: float = 0.0
    batch_size: int = 32
    image_px: int = 224
    epochs: int = Field(default=10, ge=1)
    early_stopping: int | None = Field(default=None, ge=1)
    warm_up_epochs: int = Field(default=0, ge=0)
    warm_up_lr: float = 1e-3
    metric: str = "accuracy"
    feature_dtype: str = "float16"
    precision: Precision = EXACT
    augment: Augment = Augment()
    views: int = Field(default=0, ge=0)
    view_seed: int = 0
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _blocks_as_layers(cls, raw: Any) -> Any:
        blocks = raw.get("unfrozen_blocks")
        if blocks is None or "unfrozen_layers" in raw:
            return raw
        return {**raw, **row_of(raw["backbone"]).anatomy.depth(blocks).to_json()}

    @property
    def depth(self) -> Depth:
        """How deep the trial unfreezes its backbone."""
        return Depth(self.unfrozen_layers, self.unfrozen_blocks)

    @property
    def prefix_depth(self) -> Depth:
        """The depth that the frozen prefix leaves to train: the trial's, or a deeper one."""
        return self.depth if self.cut_layers is None else Depth(self.cut_layers)

    def sharing(self, prefix: Depth) -> "TrialConfig":
        """The same trial on the frozen prefix of a depth that is at least its own."""
        cut_layers = None if prefix == self.depth else prefix.layers
        return self.model_copy(update={"cut_layers": cut_layers})

    @property
    def frozen(self) -> bool:
        """Whether the whole backbone stays as it was, so that only the head trains."""
        return self.depth.frozen

    def ranks(self, epoch: int) -> bool:
        """Whether the value of an epoch counts for this trial."""
        return epoch >= self.depth.first_ranked_epoch

    def view(self, epoch: int) -> int | None:
        """Which augmented view an epoch trains on; None where it is the images themselves."""
        if self.augment.nothing:
            return None
        return epoch % self.views if self.views else epoch

    @property
    def learning_rate(self) -> float:
        """The rate of the trial's own phase: the head's where nothing is unfrozen."""
        rate = getattr(self, self.depth.rate)
        if rate is None:
            raise ValueError(f"a trial with unfrozen_layers={self.unfrozen_layers} has no rate")
        return float(rate)

    @property
    def effective(self) -> "TrialConfig":
        """The same training with what it does not use at its default, and with one spelling where
        there are several: equal ones train alike, to the last bit.
        """
        unused = [name for name in RATES if name != self.depth.rate]
        unused.append("unfrozen_blocks")  # `unfrozen_layers` says it
        if self.frozen:
            unused.append("train_batch_norm")
        if self.warm_up_epochs == 0:
            unused.append("warm_up_lr")
        if self.augment.nothing:
            unused += ["views", "view_seed"]
        defaults = {name: type(self).model_fields[name].default for name in unused}
        return self.model_copy(update={**defaults, **self._respelled()})

    def _respelled(self) -> dict[str, Any]:
        """What stands for all values that train as this trial's do."""
        acts = SCHEDULE_ACTS.get(self.schedule, 1) <= self.epochs
        found: dict[str, Any] = {
            "optimizer": SAME_OPTIMIZER.get(self.optimizer, self.optimizer),
            "schedule": self.schedule if acts else "constant",
        }
        row = known_row(self.backbone)
        if row is None:  # of another version's catalogue
            return found
        found["backbone"], found["weights"] = plainest(row, self.weights)
        if self.pooling == "flatten" and self.image_px <= row.single_px:
            found["pooling"] = "gap"
        return found if self.frozen else {**found, **self._simplest_depth(row.anatomy)}

    def _simplest_depth(self, anatomy: Anatomy) -> dict[str, Any]:
        """The depth that stands for all at which the same layers train behind the same cut."""
        batch_norm = self.train_batch_norm and anatomy.has_batch_norm(self.depth)
        depth, prefix = anatomy.simplest(self.depth, self.prefix_depth, batch_norm)
        return {
            **depth.to_json(),
            "cut_layers": None if prefix == depth else prefix.layers,
            "train_batch_norm": batch_norm,
        }

    @property
    def digest(self) -> str:
        """A short name that two trials share exactly when they would train the same."""
        plain = json.dumps(self.effective.to_json(), sort_keys=True)
        return hashlib.blake2b(plain.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as journal and checkpoints hold them; `TrialConfig(**it)` reads them.

        The precision is left out where it is float32, as in what earlier versions wrote.
        """
        plain = self.model_dump(mode="json")
        if self.precision == EXACT:
            del plain["precision"]
        return plain
