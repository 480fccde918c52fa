"""Random changes of training images: a setting is a range from which every image gets a value."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tlsearch.config.dimension import Frozen
from tlsearch.config.spelling import one_of

# Preset -> settings of `Augment`.
AUGMENTATIONS: dict[str, dict[str, float | str]] = {
    "none": {},
    "light": {"flip": "horizontal", "translate": 0.05, "zoom": 0.1},
    "medium": {
        "flip": "horizontal",
        "rotate": 0.05,
        "translate": 0.1,
        "zoom": 0.2,
        "contrast": 0.2,
        "brightness": 0.1,
    },
    "strong": {
        "flip": "both",
        "rotate": 0.15,
        "translate": 0.15,
        "zoom": 0.3,
        "shear": 0.2,
        "contrast": 0.4,
        "brightness": 0.2,
    },
}

Share = Annotated[float, Field(ge=0, lt=1)]


class Augment(Frozen):
    """Random changes of a training image; 0 switches a change off.

    `rotate`: up to this share of a full turn, either way. `zoom`, `shear`, `translate`: up to this
    share of the side, either way. `contrast`: around the image's mean, up to this factor more or
    less. `brightness`: up to this share of the whole range. Borders are mirrored.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    rotate: Share = 0.0
    zoom: Share = 0.0
    shear: Share = 0.0
    translate: Share = 0.0
    contrast: Share = 0.0
    brightness: Share = 0.0

    @property
    def is_off(self) -> bool:
        """Whether every image stays as it is."""
        return self == Augment()


def _preset(raw: object) -> object:
    """Look up a preset by its name; other values are left to pydantic."""
    if raw is None:
        return {}
    if isinstance(raw, str):
        return AUGMENTATIONS[one_of(AUGMENTATIONS, "preset")(raw)]
    return raw


Augmentation = Annotated[Augment, BeforeValidator(_preset)]
