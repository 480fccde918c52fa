"""The names and types of a journal's notes on trials and of its facts about the whole study.

A name that is not listed here comes from another version and is accepted unchecked.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    Json,
    NonNegativeInt,
    TypeAdapter,
    ValidationError,
)

from tlsearch.config.trial_config import TrialConfig

Ended = Literal["finished", "stopped", "diverged", "failed"]


class _Noted(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Work(_Noted):
    done: FiniteFloat
    least: FiniteFloat
    prefix: str
    prefix_pass: FiniteFloat


class _OfTrial(_Noted):
    trial: NonNegativeInt


class _Weights(_OfTrial):
    weights: str = ""


class _Test(_Weights):
    value: FiniteFloat
    images: int
    metric: str = ""
    low: FiniteFloat = 0.0
    high: FiniteFloat = 0.0
    rounds: int = 0
    interval: str = ""
    scores: dict[str, FiniteFloat] = {}


class _Run(_OfTrial):
    model_config = ConfigDict(strict=True, extra="forbid")  # like `rank.confirmation.Run`

    seed: int
    value: FiniteFloat | None
    epoch: NonNegativeInt
    seconds: FiniteFloat
    refined: bool = False
    sha256: str | None = None


class _Cost(_Noted):
    seconds: FiniteFloat
    epochs: FiniteFloat
    bytes: FiniteFloat


class _Forecast(_Noted):
    expected: _Cost
    actual: _Cost
    trials: int = 0


_NOTES: Mapping[str, object] = {
    "outcome": Ended,
    "reason": str,
    "seconds": FiniteFloat,
    "trained_parameters": int | None,
    "trained_share": FiniteFloat | None,
    "work": Json[_Work] | None,
    "worker": str,
    "machine": str,
    "threads": int | None,
    "network": str | None,
    "kept": dict[str, str],
    "replica_of": int,
    "by_prior": bool,
}
_FACTS: Mapping[str, object] = {
    "spent_s": FiniteFloat,
    "baselines": dict[str, FiniteFloat],
    "test": _Test,
    "tests": list[_Test],
    "confirmation": list[_Run],
    "not_refined": str,
    "exported": _Weights,
    "left_out": dict[str, str],
    "forecast": _Forecast | None,
    "space": dict[str, Any],
}


def require_note(name: str, value: object) -> None:
    """Raise ValueError unless a trial's note has the type expected for its name."""
    if name == "config":  # a damaged key would otherwise pass as a key of another version
        _require_config(value)
    elif name in _NOTES:
        _require(name, value, _NOTES[name])


def require_fact(name: str, value: object, trials: int) -> None:
    """Raise ValueError unless a fact has the type expected for its name and names a known trial.

    `trials` is the number of trials that the journal has created so far.
    """
    if name not in _FACTS:
        return
    found = _require(name, value, _FACTS[name])
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, _OfTrial) and one.trial >= trials:
            why = f"it refers to trial {one.trial}, which no earlier line creates"
            raise ValueError(f"{name}: {why}")


def _require(name: str, value: object, kind: Any) -> Any:
    try:
        return _adapter(name, kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise ValueError(_describe(name, error)) from None


@cache
def _adapter(name: str, kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _require_config(value: object) -> None:
    try:
        TrialConfig(**_adapter("config", Json[dict[str, Any]]).validate_python(value))
    except ValidationError as error:
        raise ValueError(_describe("config", error)) from None


def _describe(name: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    at = ".".join(map(str, (name, *first["loc"])))
    return f"{at}: {first['msg']}"
