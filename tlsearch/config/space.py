"""The dimensions of a search: what varies from trial to trial."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt, Tag

from tlsearch.config.catalog import BACKBONES, CLASS_WEIGHTS, OPTIMIZERS, POOLINGS, SCHEDULES
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
    within,
)
from tlsearch.config.spelling import one_of

Rate = Annotated[float, Field(gt=0, le=10)]
Name = Annotated[str, BeforeValidator(one_of(BACKBONES, "backbone"))]
OptimizerName = Annotated[str, BeforeValidator(one_of(OPTIMIZERS, "optimizer"))]
PoolingName = Annotated[str, BeforeValidator(one_of(POOLINGS, "pooling"))]
ScheduleName = Annotated[str, BeforeValidator(one_of(SCHEDULES, "schedule"))]
WeightsName = Annotated[str, BeforeValidator(one_of(CLASS_WEIGHTS, "weighting"))]
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


CUTS_OF_A_RANGE = 6


class Space(Frozen):
    """The dimensions of the search; each a constant, a list of choices, or a range."""

    backbone: Annotated[Choices[Name], LISTED] = Choices(values=("mobilenet_v2",))
    weights: Annotated[Choices[str], LISTED] = Choices(values=("default",))
    unfrozen_layers: UnfrozenLayers = Choices(values=(0,))
    train_batch_norm: Annotated[Choices[bool], LISTED] = Choices(values=(False,))
    pooling: Annotated[Choices[PoolingName], LISTED] = Choices(values=("gap",))
    head_units: Annotated[Choices[Units], LISTED] = Choices(values=((),))
    dropout: Fractions = Choices(values=(0.0,))
    head_lr: Rates = Range(low=1e-4, high=1e-1, log=True)
    fine_tune_lr: Rates = Range(low=1e-5, high=1e-2, log=True)
    optimizer: Annotated[Choices[OptimizerName], LISTED] = Choices(values=("adamw",))
    weight_decay: Fractions = Choices(values=(0.0,))
    schedule: Annotated[Choices[ScheduleName], LISTED] = Choices(values=("constant",))
    class_weights: Annotated[Choices[WeightsName], LISTED] = Choices(values=("none",))
    label_smoothing: Fractions = Choices(values=(0.0,))
    batch_size: BatchSizes = Choices(values=(32,))

    def cuts(self) -> tuple[Unfrozen, ...]:
        """The numbers of unfrozen layers at which a frozen prefix may end, fewest first.

        All choices; of a range `CUTS_OF_A_RANGE` values, both ends among them: a trial between two
        is cut at the larger one and trains no more layers for it.
        """
        layers = self.unfrozen_layers
        if isinstance(layers, Choices):
            whole = sorted(value for value in layers.values if value != "all")
            return (*whole, "all") if "all" in layers.values else tuple(whole)
        low, high = int(layers.low), int(layers.high)
        steps = min(CUTS_OF_A_RANGE - 1, high - low)
        return tuple(low + -(-(high - low) * i // steps) for i in range(steps + 1))

    def trained(self, unfrozen: Unfrozen, backbone: str, batch_norm: bool) -> Unfrozen:
        """How many layers a trial unfreezes where the space proposes so many: of a range, the next
        value at which something trains, since the last layers of a network hold no weights.
        """
        layers = self.unfrozen_layers
        if unfrozen in (0, "all") or not isinstance(layers, Range):
            return unfrozen
        least, step = BACKBONES[backbone].anatomy.least(batch_norm), int(layers.step or 1)
        return next(
            (n for n in range(int(unfrozen), int(layers.high) + 1, step) if n >= least), unfrozen
        )

    def untrained(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Where the space asks for so few layers that a backbone trains none of them, and why."""
        least = {name: self._least(name) for name in self.backbone.values}
        for at, found in self._depths():
            frozen = [name for name in least if 0 < found < least[name]]
            if frozen:
                last = f"last {found} layers" if found > 1 else "last layer"
                yield (
                    at,
                    (
                        f"found {found}, but nothing trains in the {last} of {', '.join(frozen)}: "
                        f"expected 0 for the head alone, or {max(least.values())} and more"
                    ),
                )

    def _least(self, backbone: str) -> int:
        """How many layers train something in every trial of a backbone."""
        return BACKBONES[backbone].anatomy.least(all(self.train_batch_norm.values))

    def _depths(self) -> Iterator[tuple[tuple[str | int, ...], int]]:
        """Every number of layers that must train something, and where it is written: of a range
        that begins at 0 the last, since `trained` reads the others upwards.
        """
        layers = self.unfrozen_layers
        if isinstance(layers, Range):
            low, high, step = int(layers.low), int(layers.high), int(layers.step or 1)
            yield (("low",), low) if low else (("high",), high - (high - low) % step)
            return
        for place, value in enumerate(layers.values):
            if value != "all":
                yield (place,), value

    def cut_for(self, unfrozen: Unfrozen) -> Unfrozen:
        """The one of `cuts` that a trial with so many unfrozen layers uses."""
        if not isinstance(unfrozen, int) or unfrozen == 0:
            return unfrozen
        deeper = (cut for cut in self.cuts() if isinstance(cut, int) and cut >= unfrozen)
        return next(deeper, unfrozen)
