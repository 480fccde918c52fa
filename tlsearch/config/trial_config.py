"""The configuration of one trial: everything that training depends on besides the images."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import Field, model_validator

from tlsearch.config.augmentation import Augment
from tlsearch.config.catalog import SAME_OPTIMIZER, SCHEDULE_ACTS, canonical_names
from tlsearch.config.device import EXACT, Precision
from tlsearch.config.dimension import Frozen, Shown, Units
from tlsearch.config.networks.anatomy import Anatomy
from tlsearch.config.networks.lookup import known_row, row_of
from tlsearch.config.networks.unfreezing import RATES, Depth, Unfrozen


class TrialConfig(Frozen):
    """One configuration to train; hashable; two trials train the same if `effective` is equal.

    `views` is the number of augmented views of the training images that the epochs take in turn; 0
    makes a new one for every epoch. Views follow from `view_seed`, the study's, so that trials with
    other seeds share them. Without augmentation there is one view, the images themselves.
    `early_stopping` ends a trial after this many epochs without a better value.
    `unfrozen_blocks` is the requested depth if it was given in blocks; `unfrozen_layers`, the
    number of layers that train, follows from it if it is not given. `depth` holds both.
    `cut_layers`, if given, is at least `unfrozen_layers`: the frozen prefix ends as if that many
    layers were unfrozen, at a cut that other trials share; see `prefix_depth`.
    """

    backbone: Annotated[str, Shown("the pretrained network", "backbone")]
    weights: Annotated[
        str, Shown("the pretrained weights that it began with", "weights", priority=70)
    ] = "default"
    unfrozen_layers: Annotated[
        Unfrozen,
        Shown(
            "how many of the backbone's last layers were trained, or all; empty if the space "
            "counts in blocks",
            "unfrozen",
        ),
    ] = 0
    unfrozen_blocks: Annotated[
        Unfrozen | None,
        Shown(
            "how many of the backbone's last blocks were trained, with everything after them, or "
            "all; empty if the space counts in layers",
            "unfrozen",
        ),
    ] = None
    cut_layers: Annotated[
        Unfrozen | None,
        Shown(
            "the number of last layers behind the cached features, if that is more than the "
            "trained layers"
        ),
    ] = None
    train_batch_norm: Annotated[
        bool,
        Shown(
            "whether batch normalisation layers were trained with them", "batch norm", priority=20
        ),
    ] = False
    pooling: Annotated[
        str, Shown("how the backbone's last feature map became a vector", "pooling", priority=50)
    ] = "default"
    head_units: Annotated[
        Units,
        Shown("widths of the head's dense layers before the last; none: no such layer", "head"),
    ] = ()
    dropout: Annotated[
        float,
        Shown("share of features dropped in the head while training", "dropout", priority=85),
    ] = 0.0
    head_lr: Annotated[
        float | None,
        Shown("learning rate of the head if the backbone stays frozen", "lr", priority=95),
    ] = None
    fine_tune_lr: Annotated[
        float | None,
        Shown("learning rate if layers of the backbone are trained too", "lr", priority=95),
    ] = None
    optimizer: Annotated[str, Shown("the optimizer", "optimizer", priority=65)] = "adamw"
    weight_decay: Annotated[float, Shown("weight decay of the optimizer", "decay", priority=55)] = (
        0.0
    )
    schedule: Annotated[
        str, Shown("how the learning rate changed over the epochs", "schedule", priority=45)
    ] = "constant"
    class_weights: Annotated[
        str,
        Shown(
            "whether images of rare classes had more weight in training",
            "class weights",
            priority=40,
        ),
    ] = "none"
    label_smoothing: Annotated[
        float,
        Shown(
            "share of each label spread evenly over all classes while training",
            "smoothing",
            priority=35,
        ),
    ] = 0.0
    batch_size: Annotated[int, Shown("images per step", "batch", priority=60)] = 32
    image_px: Annotated[int, Shown("width and height of the pictures as the network sees them")] = (
        224
    )
    epochs: Annotated[int, Field(ge=1)] = 10
    early_stopping: Annotated[
        int | None,
        Field(ge=1),
        Shown("a trial ends after this many epochs without a better value"),
    ] = None
    warm_up_epochs: Annotated[
        int,
        Field(ge=0),
        Shown("epochs that train the head alone before anything is unfrozen"),
    ] = 0
    warm_up_lr: Annotated[float, Shown("learning rate of the warm-up")] = 1e-3
    metric: str = "accuracy"
    feature_dtype: Annotated[
        str, Shown("how the cached features of the frozen layers are stored")
    ] = "float16"
    precision: Annotated[
        Precision,
        Shown("precision of the backbone's layers; the head always computes in float32"),
    ] = EXACT
    augment: Annotated[
        Augment,
        Shown("random changes of the training pictures, such as flips and rotations"),
    ] = Augment()
    views: Annotated[
        int,
        Field(ge=0),
        Shown(
            "number of augmented copies of the training pictures, which the epochs use in turn; 0 "
            "draws new ones for every epoch"
        ),
    ] = 0
    view_seed: Annotated[
        int,
        Shown("seed of the random changes of pictures, the same for all trials"),
    ] = 0
    seed: Annotated[
        int,
        Shown(
            "seed of the trial; a new one if a configuration is trained again because the space is "
            "exhausted",
            "seed",
            priority=30,
        ),
    ] = 0

    @model_validator(mode="before")
    @classmethod
    def _blocks_as_layers(cls, raw: Any) -> Any:
        blocks = raw.get("unfrozen_blocks")
        if blocks is None or "unfrozen_layers" in raw:
            return raw
        return {**raw, **row_of(raw["backbone"]).anatomy.depth(blocks).to_json()}

    @property
    def depth(self) -> Depth:
        """The depth to which the trial unfreezes its backbone."""
        return Depth(self.unfrozen_layers, self.unfrozen_blocks)

    @property
    def prefix_depth(self) -> Depth:
        """The depth whose cut ends the frozen prefix: the trial's own, or a deeper one.

        Layers between a deeper cut and the trial's own depth are recomputed, but stay frozen.
        """
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
        """The augmented view that an epoch trains on; None for the images themselves."""
        if self.augment.is_off:
            return None
        return epoch % self.views if self.views else epoch

    @property
    def learning_rate(self) -> float:
        """The learning rate after warm-up: `fine_tune_lr`, or `head_lr` if nothing is unfrozen."""
        rate = getattr(self, self.depth.rate)
        if rate is None:
            raise ValueError(f"a trial with unfrozen_layers={self.unfrozen_layers} has no rate")
        return float(rate)

    @property
    def effective(self) -> "TrialConfig":
        """The same training, with unused fields at their defaults and one spelling per value.

        Two trials for which this is equal train identically, to the last bit.
        """
        unused = [name for name in RATES if name != self.depth.rate]
        unused.append("unfrozen_blocks")  # `unfrozen_layers` holds it
        if self.frozen:
            unused.append("train_batch_norm")
        if self.warm_up_epochs == 0:
            unused.append("warm_up_lr")
        if self.augment.is_off:
            unused += ["views", "view_seed"]
        defaults = {name: type(self).model_fields[name].default for name in unused}
        return self.model_copy(update={**defaults, **self._canonical_values()})

    def _canonical_values(self) -> dict[str, object]:
        """One value for each field that has several values with the same training."""
        acts = SCHEDULE_ACTS.get(self.schedule, 1) <= self.epochs
        found: dict[str, Any] = {
            "optimizer": SAME_OPTIMIZER.get(self.optimizer, self.optimizer),
            "schedule": self.schedule if acts else "constant",
        }
        row = known_row(self.backbone)
        if row is None:  # of another version's catalogue
            return found
        found["backbone"], found["weights"] = canonical_names(row, self.weights)
        found["pooling"] = row.pooled_by(self.pooling)
        if self.pooling == "flatten" and self.image_px <= row.single_px:
            found["pooling"] = "gap"
        return found if self.frozen else {**found, **self._simplest_depth(row.anatomy)}

    def _simplest_depth(self, anatomy: Anatomy) -> dict[str, object]:
        """One depth for all depths that train the same layers behind the same cut."""
        batch_norm = self.train_batch_norm and anatomy.has_batch_norm(self.depth)
        depth, prefix = anatomy.simplest(self.depth, self.prefix_depth, batch_norm)
        return {
            **depth.to_json(),
            "cut_layers": None if prefix == depth else prefix.layers,
            "train_batch_norm": batch_norm,
        }

    @property
    def digest(self) -> str:
        """A short name that two trials share if and only if they would train the same."""
        plain = json.dumps(self.effective.to_json(), sort_keys=True)
        return hashlib.blake2b(plain.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, object]:
        """Plain values, as journal and checkpoints hold them; `TrialConfig(**it)` reads them.

        The precision is left out if it is float32, as in the records of earlier versions.
        """
        plain = self.model_dump(mode="json")
        if self.precision == EXACT:
            del plain["precision"]
        return plain


# By the name of the field.
SHOWN: dict[str, Shown] = {
    name: one
    for name, field in TrialConfig.model_fields.items()
    for one in field.metadata
    if isinstance(one, Shown)
}
