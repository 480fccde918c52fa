"""A row of the catalogue: the facts about one backbone that do not need building it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tlsearch.base.machine import PACKAGE
from tlsearch.config.networks.anatomy import Anatomy
from tlsearch.config.networks.convolutions import EfficientNetLite
from tlsearch.config.networks.presets import Preset, Spec
from tlsearch.config.networks.published import PUBLISHED, Published
from tlsearch.config.networks.transformers import SwinTransformer, VisionTransformer

Preprocess = Literal["tf", "caffe", "torch", "unit", "none"]

OWN = "own"  # the family of networks that a user brings along
_BUILDS_PRESETS = "tlsearch.training.network.hub.preset_network:preset_network"


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without its top, named by the function that builds it.

    `build` and `reference` are "module:attribute"; `reference` is Keras' own preprocessing function
    for this network, if it has one, which ours must equal. `image_px` is the size it was made for,
    at which it takes `multiply_adds`. `min_px` and `max_px` are the smallest and the largest size
    it can be built for; sizes are multiples of `patch_px`. `parameters` counts all weights,
    including BatchNorm's statistics. Up to `single_px` its last feature map has only one place.
    `norm_after_pool`: its last layer is a normalisation that was trained on the pooled vector.
    `licence` is that of the pretrained weights. `spec` are the dimensions of a preset's network,
    which this package builds itself.
    """

    name: str
    family: str
    build: str
    preprocess: Preprocess
    reference: str | None
    layers: int
    anatomy: Anatomy
    multiply_adds: int
    parameters: int
    image_px: int = 224
    min_px: int = 32
    max_px: int | None = None
    patch_px: int = 1
    single_px: int = 32
    norm_after_pool: bool = False
    options: dict[str, float | bool | str] = field(default_factory=dict)
    shipped: str | None = None
    trained_on: str = "imagenet"
    licence: str = "Apache-2.0"
    spec: Spec | None = None

    @property
    def local_path(self) -> Path | None:
        """The file or folder of this machine that it is read from, if the user named one."""
        place = Path(str(self.options.get("path", self.name)))
        return place if place.is_absolute() else None

    @property
    def shipped_path(self) -> Path | None:
        """The backbone's own weight file: shipped with tlsearch, or the user's imported network."""
        return None if self.shipped is None else weights_folder() / self.shipped

    def refuses(self, px: int) -> str | None:
        """The reason why it cannot be built for pictures of this size; None if it can."""
        if self.min_px == self.max_px != px:
            return f"takes {self.min_px} alone"
        if px < self.min_px:
            return f"needs at least {self.min_px}"
        if self.max_px is not None and px > self.max_px:
            return f"takes at most {self.max_px}"
        below = px // self.patch_px * self.patch_px
        if below < px:
            return f"takes multiples of {self.patch_px}: try {below} or {below + self.patch_px}"
        return None

    @property
    def published(self) -> Published | None:
        """The published ImageNet accuracy of its pretrained weights; None if there is none."""
        return PUBLISHED.get(self.name)

    def published_accuracy(self, weights: str) -> float | None:
        """The top-1 accuracy on ImageNet in percent that is published for its weights of this name;
        None if there is none, as for weight files and random weights.
        """
        known = self.resolve_weights(weights) in ("imagenet", "preset")
        return self.published.top1 if known and self.published is not None else None

    @property
    def default_weights(self) -> str:
        """The meaning of `weights: default`: the shipped file, the preset, else ImageNet."""
        if self.shipped is not None:
            return "shipped"
        return "imagenet" if self.spec is None else "preset"

    def resolve_weights(self, weights: str) -> str:
        """The source of weights that a name means for this network: "default" resolved."""
        return self.default_weights if weights == "default" else weights

    @property
    def tokens(self) -> VisionTransformer | SwinTransformer | None:
        """The dimensions of a transformer; None for a network whose output is a feature map."""
        known = VisionTransformer | SwinTransformer
        return self.spec if isinstance(self.spec, known) else None

    def pooled_by(self, pooling: str) -> str:
        """The canonical name of a pooling for this network; equal poolings get the same name."""
        own = "gap" if self.tokens is None else self.tokens.pooling
        return {"default": own, "mean": "gap"}.get(pooling, pooling)

    @property
    def has_class_token(self) -> bool:
        """Whether it has a class token, which represents the whole picture."""
        return self.tokens is not None and self.tokens.class_tokens > 0


def weights_folder() -> Path:
    """The folder of weights pretrained by this project."""
    return PACKAGE / "weights"


def preset_row(preset: Preset) -> Backbone:
    """The row of a preset, which KerasHub publishes or which has the form of KerasHub's presets."""
    spec, family = preset.spec, preset.family
    return Backbone(
        name=preset.name,
        family=family.name,
        build=_BUILDS_PRESETS,
        preprocess=family.normalises,
        reference=None,
        layers=spec.anatomy.layers,
        anatomy=spec.anatomy,
        multiply_adds=spec.multiply_adds(preset.image_px),
        parameters=spec.parameters(preset.image_px),
        image_px=preset.image_px,
        min_px=spec.least_px,
        patch_px=spec.multiple,
        single_px=32 if isinstance(spec, EfficientNetLite) else 0,
        options={"preset": preset.handle},
        trained_on=family.trained_on,
        licence=family.licence,
        spec=spec,
    )
