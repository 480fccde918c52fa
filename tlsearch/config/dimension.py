"""One dimension of a search space: a constant, a list of choices, or a range."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_serializer,
    model_validator,
)

T = TypeVar("T")

MOST_STEPS = 10**6  # of one range

# A key of pydantic's context: the configuration is that of a study that ran before.
RECORDED = "recorded"


class Frozen(BaseModel):
    """A checked value that does not change; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def is_recorded(info: ValidationInfo) -> bool:
    """Whether the configuration being checked is that of a study that ran before."""
    return bool((info.context or {}).get(RECORDED))


@dataclass(frozen=True)
class Shown:
    """How a report shows a field of a trial's configuration; `help` says what it means.

    If a search varies the field, its column is called `label`; fields with the same label share a
    column. In a narrow terminal the column with the lowest `priority` is left out first; a column
    without a priority always stays.
    """

    help: str
    label: str | None = None
    priority: int | None = None


class Choices(Frozen, Generic[T]):
    """Values to choose from; a single one is a constant and is not searched."""

    values: Annotated[tuple[T, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> "Choices[T]":
        if len(set(self.values)) != len(self.values):
            raise ValueError("the same choice is listed twice")
        return self

    @property
    def constant(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.values) == 1

    def admits(self, value: object) -> bool:
        """Whether a trial may have this value."""
        return value in self.values

    @model_serializer
    def _as_written(self) -> list[T]:
        return list(self.values)


class Range(Frozen):
    """The numbers from `low` to `high`, both included, in steps of `step`, all of them without it;
    `log` samples magnitudes evenly.
    """

    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _sensible(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high, found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be > 0 because log is true, found {self.low:g} (try 1e-6)")
        if self.log and self.step is not None:
            raise ValueError("step and log cannot be combined: leave one out")
        if self.step is not None and self.step > (self.high - self.low) * (1 + 1e-9):
            raise ValueError(f"step must fit between low and high, found {self.step:g}")
        if self.step is not None and self.step * MOST_STEPS < self.high - self.low:
            raise ValueError(
                f"found step {self.step:g}, expected at most {MOST_STEPS:g} steps from low to high"
            )
        return self

    def admits(self, value: object) -> bool:
        """Whether a trial may have this value: within the ends and, with a step, on the grid."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def is_integer(self) -> bool:
        """Whether the range can be sampled as whole numbers."""
        return all(float(x).is_integer() for x in (self.low, self.high, self.step or 1))

    @model_serializer
    def _as_written(self) -> dict[str, float | bool]:
        written: dict[str, float | bool] = {"low": self.low, "high": self.high}
        if self.log:
            written["log"] = True
        if self.step is not None:
            written["step"] = self.step
        return written


def _to_shape(raw: object) -> object:
    """Convert a constant, a list or a mapping to the shape of the model that checks it."""
    if isinstance(raw, Choices | Range | dict):
        return raw
    return {"values": raw if isinstance(raw, list | tuple) else [raw]}


def _to_list(raw: object) -> object:
    """Convert a dimension of names to the shape of `Choices`; raises ValueError for a range."""
    if isinstance(raw, dict) and "values" not in raw:
        raise ValueError(f"found {raw!r}, expected a value or a list of values")
    return _to_shape(raw)


def _tag(shaped: object) -> str:
    is_choices = isinstance(shaped, Choices) or (isinstance(shaped, dict) and "values" in shaped)
    return "choices" if is_choices else "range"


AsRange = Annotated[Range, Tag("range")]
SHAPED = BeforeValidator(_to_shape)
LISTED = BeforeValidator(_to_list)
BY_SHAPE = Discriminator(_tag)


def head_units(raw: object) -> object:
    """Convert the widths of the head's dense layers: `none` -> (), 128 -> (128,).

    Other values are returned unchanged, for pydantic to check.
    """
    if raw is None or raw == "none":
        return ()
    return (raw,) if isinstance(raw, int) and not isinstance(raw, bool) else raw


Units = Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], BeforeValidator(head_units)]


def whole_or(word: str, least: int) -> BeforeValidator:
    """A pydantic validator: a whole number of at least `least`, or one word."""

    def check(raw: object) -> object:
        if raw == word or (isinstance(raw, int) and not isinstance(raw, bool) and raw >= least):
            return raw
        raise ValueError(f"found {raw!r}, expected a whole number >= {least}, or {word}")

    return BeforeValidator(check)


def range_within(low: float, high: float, whole: bool = False) -> AfterValidator:
    """A pydantic validator: a range lies within `low` and `high`; `whole` wants whole numbers."""

    def check(dimension: Choices[Any] | Range) -> Choices[Any] | Range:
        if isinstance(dimension, Range):
            if dimension.low < low or dimension.high > high:
                raise ValueError(
                    f"found {dimension.low:g} to {dimension.high:g}, "
                    f"expected a range within {low:g} and {high:g}"
                )
            if whole and not dimension.is_integer():
                raise ValueError("low, high and step must be whole numbers here")
        return dimension

    return AfterValidator(check)
