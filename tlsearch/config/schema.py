"""The configuration of a search: the YAML file as checked, frozen values."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from tlsearch.base.errors import ConfigError
from tlsearch.base.files import absolute_path
from tlsearch.config.augmentation import Augment, Augmentation
from tlsearch.config.catalog import (
    EXPORT_FORMATS,
    METRICS,
    NUMBER_BYTES,
    WEIGHTS,
    Direction,
    formats_of,
)
from tlsearch.config.dataset import Data
from tlsearch.config.device import EXACT, PRECISIONS, Precision
from tlsearch.config.dimension import Choices, Frozen, head_units, is_recorded, whole_or
from tlsearch.config.location import (
    LocalPath,
    Location,
    as_location,
    is_url,
    local_path,
    url_problem,
)
from tlsearch.config.networks.lookup import full_name, is_outside_catalogue, known_row, row_of
from tlsearch.config.networks.unfreezing import DEPTHS
from tlsearch.config.scheduler import Asha, Scheduler
from tlsearch.config.space import Rate, Space
from tlsearch.config.spelling import file_name, one_of

FormatName = Annotated[str, BeforeValidator(one_of(EXPORT_FORMATS, "format"))]
PrecisionName = Annotated[
    Literal["auto", Precision], BeforeValidator(one_of(("auto", *PRECISIONS), "precision"))
]
MetricName = Annotated[str, BeforeValidator(one_of(METRICS, "metric"))]


def _one_at_most(gpus: float, info: ValidationInfo) -> float:
    if gpus > 1 and not is_recorded(info):  # older versions accepted several
        raise ValueError(
            f"found {gpus:g}, expected a share of a GPU, or 1: a trial uses one GPU at most, and "
            "the others would idle"
        )
    return gpus


class Resources(Frozen):
    """The resources of one trial, and how many trials run at a time (`auto`: as many as fit)."""

    cpus_per_trial: Annotated[int, Field(gt=0, le=65536)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0, le=1024), AfterValidator(_one_at_most)] = 0
    max_concurrent: Annotated[int | Literal["auto"], whole_or("auto", 1)] = "auto"


def _seconds(raw: object) -> object:
    """Read 90, "90s", "20m" or "1.5h" as seconds; pydantic checks values that are not text."""
    if not isinstance(raw, str):
        return raw
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", raw.strip())
    if match is None:
        raise ValueError(f"found {raw!r}, expected seconds, or a time as in 90s, 20m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _switch(raw: object) -> object:
    """Turn true and false, as YAML reads the words on and off, back into these words."""
    return {True: "on", False: "off"}.get(raw, raw) if isinstance(raw, bool) else raw


def _location(raw: object) -> object:
    """Read a folder or a URL; pydantic checks values that are neither text nor a path."""
    if not isinstance(raw, str | Path):
        return raw
    wrong = url_problem(raw) if isinstance(raw, str) and is_url(raw) else None
    if wrong is not None:
        raise ValueError(f"{wrong}, or a folder")
    return as_location(raw) if is_url(raw) else local_path(Path(raw))


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError(
            f"found {name!r}, expected letters, digits, '.', '_' and '-' only: it names a folder"
        )
    return name


def _plain_baseline(raw: object) -> object:
    """Normalise a baseline, so that it can be compared with the space's choices."""
    if not isinstance(raw, dict):
        return raw
    plain = {**raw}
    if "head_units" in raw:
        units = head_units(raw["head_units"])
        plain["head_units"] = tuple(units) if isinstance(units, list) else units
    if isinstance(raw.get("backbone"), str) and is_outside_catalogue(raw["backbone"]):
        with contextlib.suppress(ConfigError):  # not in the space either, which is reported later
            plain["backbone"] = full_name(raw["backbone"])
    return plain


Seconds = Field(gt=0, le=1e9)
Baseline = Annotated[dict[str, Any], BeforeValidator(_plain_baseline)]


class SearchConfig(Frozen):
    """One search: the data, the space, the budget, and where its record is stored."""

    name: Annotated[str, AfterValidator(_file_name)] = "study"
    data: Data
    space: Space = Space()
    baselines: tuple[Baseline, ...] = ()
    confirm: Annotated[int, Field(ge=0, le=20)] = 3  # best trials, trained again on fresh seeds
    epochs: PositiveInt = 10
    early_stopping: PositiveInt | None = None  # epochs without a better value that end a trial
    warm_up_epochs: Annotated[int, Field(ge=0)] = 5
    warm_up_lr: Rate = 1e-3  # 1e-2 gives a head too confident to fine-tune from
    scheduler: Scheduler = Asha()
    # Whether recorded runs on other data sets propose the first trials.
    prior: Annotated[Literal["auto", "off"], BeforeValidator(_switch)] = "off"
    trials: PositiveInt = 20
    time_budget: Annotated[float, BeforeValidator(_seconds), Seconds] | None = None
    metric: MetricName = "accuracy"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    resources: Resources = Resources()
    storage: Annotated[Location, BeforeValidator(_location)] = Path("runs")
    sync_s: Annotated[float, Field(gt=0, le=86400)] = 30  # between uploads of a study in a bucket
    augment: Augmentation = Augment()
    views: Annotated[int | Literal["online"], whole_or("online", 1)] = 8
    feature_dtype: Literal["float16", "float32"] = "float16"
    precision: PrecisionName = "auto"  # of the backbone's layers
    jit: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)] = "auto"  # XLA
    cache: LocalPath = Path("~/.cache/tlsearch")
    # For features, and as much again for decoded images; 0 recomputes features in every epoch.
    cache_gb: Annotated[float, Field(ge=0, le=1e9)] = 20
    history: Literal["epoch", "batch"] = "epoch"  # a learning curve has a point for each
    tensorboard: bool = False  # write learning curves as TensorBoard event files too
    export: Annotated[tuple[FormatName, ...], Field(min_length=1)] = ("keras",)

    @property
    def direction(self) -> Direction:
        """Whether higher or lower values of the metric are better."""
        return METRICS[self.metric]

    @property
    def trial_precision(self) -> Precision:
        """The precision that trials compute in: float32 until a device is chosen for them."""
        return EXACT if self.precision == "auto" else self.precision

    @property
    def cache_path(self) -> Path:
        """The cache directory, with `~` expanded; shared by all studies."""
        return absolute_path(self.cache)

    def anchored(self) -> "SearchConfig":
        """The same search with absolute paths of data, weights and cache."""
        path = self.data.path and absolute_path(self.data.path)
        weights = tuple(_anchor_weights(name) for name in self.space.weights.values)
        return self.model_copy(
            update={
                "data": self.data.model_copy(update={"path": path}),
                "space": self.space.model_copy(update={"weights": Choices(values=weights)}),
                "cache": self.cache_path,
            }
        )

    @model_validator(mode="after")
    def _parts_fit(self, info: ValidationInfo) -> "SearchConfig":
        if any(known_row(name) is None for name in self.space.backbone.values):
            return self  # recorded, and a network's file is gone
        misfits = [*self.space.misfits()]
        if not is_recorded(info):  # older versions accepted depths that train nothing
            misfits += self.space.untrained()
        problems = [*_odd_sizes(self), *_formats_too_small(self)]
        problems += [_mistake(("space", *at), why) for at, why in misfits]
        for index, baseline in enumerate(self.baselines):
            for key, why in values_outside(baseline, self.space).items():
                problems.append(_mistake(("baselines", index, key), why))
        if problems:
            raise ValidationError.from_exception_data("SearchConfig", problems)
        return self


def _anchor_weights(name: str) -> str:
    return name if name in WEIGHTS else str(absolute_path(Path(name)))


def _odd_sizes(config: SearchConfig) -> list[InitErrorDetails]:
    found = config.data.image_px
    return [
        _mistake(("data", "image_px"), f"found {found}, but {file_name(name)} {why}")
        for name in config.space.backbone.values
        if (why := row_of(name).refuses(found)) is not None
    ]


def _formats_too_small(config: SearchConfig) -> Iterator[InitErrorDetails]:
    """Yield the formats that a winner with one of the backbones could not be exported in."""
    for name in config.space.backbone.values:
        taken = formats_of(row_of(name))
        for place, form in enumerate(config.export):
            if form not in taken:
                held = NUMBER_BYTES * row_of(name).parameters / 1e9
                yield _mistake(
                    ("export", place),
                    f"found {form}, whose files cannot hold the {held:.1f} GB of weights of "
                    f"{file_name(name)}: expected {' or '.join(taken)}",
                )


def values_outside(baseline: dict[str, Any], space: Space) -> dict[str, str]:
    """The keys of a baseline whose values the space does not contain, with the reasons.

    Optuna would drop these values silently.
    """
    problems = {}
    for key, value in baseline.items():
        if key not in Space.model_fields:
            problems[key] = one_of(Space.model_fields, "key").why(key)
        elif key not in space.given:
            (other,) = {*DEPTHS} - {key}
            problems[key] = f"found {value!r}, but the space has {other}: use {other}"
        elif not space.given[key].admits(value):
            problems[key] = f"found {value!r}, which is not in space.{key}"
    return problems


def _mistake(at: tuple[str | int, ...], why: str) -> InitErrorDetails:
    """A mistake in the combination of two keys, located at the one to change."""
    return InitErrorDetails(
        type=PydanticCustomError("value_error", "{why}", {"why": why}), loc=at, input=None
    )
