"""What a user may say: the search space YAML as checked, frozen values."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from tlsearch.config.catalog import (
    BACKBONES,
    EXPORT_FORMATS,
    METRICS,
    OPTIMIZERS,
    WEIGHTS,
    Direction,
)
from tlsearch.config.dimension import (
    BY_SHAPE,
    LISTED,
    SHAPED,
    AsRange,
    Choices,
    Frozen,
    Range,
    Unfrozen,
    Units,
    head_units,
    whole_or,
    within,
)
from tlsearch.config.names import one_of

Rate = Annotated[float, Field(gt=0, le=10)]


def _part(raw: Any) -> Any:
    share = isinstance(raw, float) and 0 < raw < 1
    count = isinstance(raw, int) and not isinstance(raw, bool) and raw > 0
    if share or count or raw == "rest":
        return raw
    raise ValueError(
        f"found {raw!r}, expected a share between 0 and 1, a number of images, or rest"
    )


Part = Annotated[float | int | Literal["rest"], BeforeValidator(_part)]


class Splits(Frozen):
    """How large each split is: a share, a number of images, or the rest.

    Folders that name their splits (`train`, `valid`, `test`) keep them; then only a missing
    validation or test split is cut from train, as these values say.
    """

    train: Part = "rest"
    validation: Part = 0.15
    test: Part = 0.15

    @model_validator(mode="after")
    def _one_rest(self) -> "Splits":
        parts = (self.train, self.validation, self.test)
        if parts.count("rest") > 1:
            raise ValueError("only one split can be 'rest'")
        if sum(part for part in parts if isinstance(part, float)) > 1 + 1e-9:
            raise ValueError("the shares of train, validation and test add up to more than 1")
        return self


class Data(Frozen):
    """Which images: a folder `path/<class>/*`, a TFDS data set by name, or the digits."""

    kind: Literal["folder", "tfds", "digits"] = "folder"
    path: Path | None = None
    name: str | None = None
    image_px: Annotated[int, Field(ge=8, le=1024)] = 224
    splits: Splits = Splits()
    duplicates: Literal["drop", "keep", "error"] = "drop"

    @model_validator(mode="after")
    def _located(self) -> "Data":
        if self.kind == "folder" and self.path is None:
            raise ValueError("kind: folder needs path (the folder that holds a folder a class)")
        if self.kind == "tfds" and self.name is None:
            raise ValueError("kind: tfds needs name (for example tf_flowers)")
        return self


Name = Annotated[str, BeforeValidator(one_of(BACKBONES, "backbone"))]
OptimizerName = Annotated[str, BeforeValidator(one_of(OPTIMIZERS, "optimizer"))]
FormatName = Annotated[str, BeforeValidator(one_of(EXPORT_FORMATS, "format"))]
MetricName = Annotated[str, BeforeValidator(one_of(METRICS, "metric"))]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# A dimension of numbers is a list of choices or a range, told apart by how it is written.
Rates = Annotated[
    Annotated[Choices[Rate], Tag("choices")] | AsRange, BY_SHAPE, SHAPED, within(0, 10)
]
Fractions = Annotated[
    Annotated[Choices[Fraction], Tag("choices")] | AsRange, BY_SHAPE, SHAPED, within(0, 0.99)
]
UnfrozenLayers = Annotated[
    Annotated[Choices[Unfrozen], Tag("choices")] | AsRange, BY_SHAPE, SHAPED, within(0, 9999, True)
]
BatchSizes = Annotated[
    Annotated[Choices[PositiveInt], Tag("choices")] | AsRange,
    BY_SHAPE,
    SHAPED,
    within(1, 4096, True),
]


class Space(Frozen):
    """The dimensions of the search; each a constant, a list of choices, or a range."""

    backbone: Annotated[Choices[Name], LISTED] = Choices(values=("mobilenet_v2",))
    weights: Annotated[Choices[str], LISTED] = Choices(values=("default",))
    unfrozen_layers: UnfrozenLayers = Choices(values=(0,))
    train_batch_norm: Annotated[Choices[bool], LISTED] = Choices(values=(False,))
    head_units: Annotated[Choices[Units], LISTED] = Choices(values=((),))
    dropout: Fractions = Choices(values=(0.0,))
    head_lr: Rates = Range(low=1e-4, high=1e-1, log=True)
    fine_tune_lr: Rates = Range(low=1e-5, high=1e-2, log=True)
    optimizer: Annotated[Choices[OptimizerName], LISTED] = Choices(values=("adamw",))
    weight_decay: Fractions = Choices(values=(0.0,))
    batch_size: BatchSizes = Choices(values=(32,))


class Asha(Frozen):
    """Stop a trial at a rung unless it is among the top 1/reduction of those that reached it."""

    first_rung: Annotated[int, Field(ge=2)] = 2  # epochs; at 1 the eventual winner is often cut
    reduction: Annotated[int, Field(ge=2, le=10)] = 3


class Resources(Frozen):
    """What one trial gets, and how many run at a time (`auto`: as many as fit)."""

    cpus_per_trial: PositiveInt = 1
    gpus_per_trial: Annotated[float, Field(ge=0)] = 0
    max_concurrent: Annotated[int | Literal["auto"], whole_or("auto", 1)] = "auto"


def _seconds(raw: Any) -> Any:
    """Read 90, "90s", "20m" or "1.5h" as seconds; what is not text is left for pydantic."""
    if not isinstance(raw, str):
        return raw
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", raw.strip())
    if match is None:
        raise ValueError(f"found {raw!r}, expected seconds, or a time as in 90s, 20m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _local(raw: Any) -> Any:
    if isinstance(raw, str) and "://" in raw:
        raise ValueError(f"found {raw!r}, expected a local or mounted folder")
    return raw


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError(
            f"found {name!r}, expected letters, digits, '.', '_' and '-' only: it names a folder"
        )
    return name


def _plain_baseline(raw: Any) -> Any:
    """Normalise a baseline's `head_units`, so that it compares with the space's choices."""
    if isinstance(raw, dict) and "head_units" in raw:
        units = head_units(raw["head_units"])
        return {**raw, "head_units": tuple(units) if isinstance(units, list) else units}
    return raw


Baseline = Annotated[dict[str, Any], BeforeValidator(_plain_baseline)]


class SearchConfig(Frozen):
    """One search, whole: the data, the space, the budget, and where the record goes."""

    name: Annotated[str, AfterValidator(_file_name)] = "study"
    data: Data
    space: Space = Space()
    baselines: tuple[Baseline, ...] = ()
    epochs: PositiveInt = 10
    warm_up_epochs: Annotated[int, Field(ge=0)] = 5
    warm_up_lr: Rate = 1e-2
    asha: Asha | None = Asha()
    trials: PositiveInt = 20
    time_budget: Annotated[float, BeforeValidator(_seconds), Field(gt=0)] | None = None  # seconds
    metric: MetricName = "accuracy"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    resources: Resources = Resources()
    storage: Annotated[Path, BeforeValidator(_local)] = Path("runs")
    feature_dtype: Literal["float16", "float32"] = "float16"
    cache: Path = Path("~/.cache/tlsearch")
    tensorboard: bool = False  # write learning curves as TensorBoard event files too
    export: Annotated[tuple[FormatName, ...], Field(min_length=1)] = ("keras",)

    @property
    def direction(self) -> Direction:
        """Whether more of the metric is better ("max") or less ("min")."""
        return METRICS[self.metric]

    @property
    def cache_path(self) -> Path:
        """The cache directory, with `~` expanded; shared by all studies."""
        return _absolute(self.cache)

    def anchored(self) -> "SearchConfig":
        """The same search with absolute paths, so that it means the same from anywhere."""
        path = self.data.path and _absolute(self.data.path)
        weights = tuple(_anchor_weights(name) for name in self.space.weights.values)
        return self.model_copy(
            update={
                "data": self.data.model_copy(update={"path": path}),
                "space": self.space.model_copy(update={"weights": Choices(values=weights)}),
                "cache": self.cache_path,
            }
        )

    @model_validator(mode="after")
    def _parts_fit(self) -> "SearchConfig":
        problems = _images_too_small(self)
        for index, baseline in enumerate(self.baselines):
            for key, why in _outside(baseline, self.space).items():
                problems.append(_mistake(("baselines", index, key), why))
        if problems:
            raise ValidationError.from_exception_data("SearchConfig", problems)
        return self


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _anchor_weights(name: str) -> str:
    return name if name in WEIGHTS else str(_absolute(Path(name)))


def _images_too_small(config: SearchConfig) -> list[InitErrorDetails]:
    found = config.data.image_px
    least = {name: BACKBONES[name].min_px for name in config.space.backbone.values}
    return [
        _mistake(("data", "image_px"), f"found {found}, but {name} needs at least {px}")
        for name, px in least.items()
        if found < px
    ]


def _outside(baseline: dict[str, Any], space: Space) -> dict[str, str]:
    """What of a baseline the space does not contain; Optuna would drop it without a word."""
    problems = {}
    for key, value in baseline.items():
        if key not in Space.model_fields:
            problems[key] = one_of(Space.model_fields, "key").why(key)
        elif not getattr(space, key).admits(value):
            problems[key] = f"found {value!r}, which is not in space.{key}"
    return problems


def _mistake(at: tuple[str | int, ...], why: str) -> InitErrorDetails:
    """A mistake that two keys make together, located at the one to change."""
    return InitErrorDetails(
        type=PydanticCustomError("value_error", "{why}", {"why": why}), loc=at, input=None
    )
