"""The dimensions of a search: the values that vary from trial to trial."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    Tag,
    ValidationInfo,
    model_validator,
)

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import (
    CLASS_TOKEN_POOLINGS,
    CLASS_WEIGHTS,
    OPTIMIZERS,
    POOLINGS,
    SCHEDULES,
)
from tlsearch.config.dimension import (
    BY_SHAPE,
    LISTED,
    SHAPED,
    AsRange,
    Choices,
    Frozen,
    Range,
    Units,
    is_recorded,
    range_within,
)
from tlsearch.config.location import local_path
from tlsearch.config.networks.lookup import full_name, is_outside_catalogue, row_of
from tlsearch.config.networks.row import Backbone
from tlsearch.config.networks.unfreezing import BLOCKS, DEPTHS, LAYERS, Depth, Unfrozen
from tlsearch.config.spelling import file_name, one_of


def backbone_name(name: str, info: ValidationInfo) -> str:
    """A pydantic validator: the full name of a backbone; raises ValueError if there is none.

    A recorded study may name a network whose file is gone: only its trials need the file.
    """
    try:
        return full_name(name)
    except ConfigError as error:
        if is_recorded(info) and is_outside_catalogue(name):
            return name
        raise ValueError(str(error)) from None


Rate = Annotated[float, Field(gt=0, le=10)]
Name = Annotated[str, AfterValidator(backbone_name)]
OptimizerName = Annotated[str, BeforeValidator(one_of(OPTIMIZERS, "optimizer"))]
PoolingName = Annotated[str, BeforeValidator(one_of(POOLINGS, "pooling"))]
ScheduleName = Annotated[str, BeforeValidator(one_of(SCHEDULES, "schedule"))]
WeightsName = Annotated[str, BeforeValidator(one_of(CLASS_WEIGHTS, "weighting"))]
Weights = Annotated[str, AfterValidator(lambda name: local_path(Path(name)) and name)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# A dimension of numbers is a list of choices or a range, distinguished by how it is written.
Rates = Annotated[
    Annotated[Choices[Rate], Tag("choices")] | AsRange, BY_SHAPE, SHAPED, range_within(0, 10)
]
Fractions = Annotated[
    Annotated[Choices[Fraction], Tag("choices")] | AsRange, BY_SHAPE, SHAPED, range_within(0, 0.99)
]
Depths = Annotated[
    Annotated[Choices[Unfrozen], Tag("choices")] | AsRange,
    BY_SHAPE,
    SHAPED,
    range_within(0, 9999, True),
]
BatchSizes = Annotated[
    Annotated[Choices[PositiveInt], Tag("choices")] | AsRange,
    BY_SHAPE,
    SHAPED,
    range_within(1, 4096, True),
]

Where = tuple[str | int, ...]  # keys within a space
Written = tuple[Where, int]
Problem = tuple[Where, str]

CUTS_OF_A_RANGE = 6


class Space(Frozen):
    """The dimensions of the search; each a constant, a list of choices, or a range.

    The depth to which trials unfreeze is given in layers or in blocks, and the other dimension is
    None. If neither is given, nothing is unfrozen.
    """

    backbone: Annotated[Choices[Name], LISTED] = Choices(values=("mobilenet_v2",))
    weights: Annotated[Choices[Weights], LISTED] = Choices(values=("default",))
    unfrozen_layers: Depths | None = None
    unfrozen_blocks: Depths | None = None
    train_batch_norm: Annotated[Choices[bool], LISTED] = Choices(values=(False,))
    pooling: Annotated[Choices[PoolingName], LISTED] = Choices(values=("default",))
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

    @model_validator(mode="before")
    @classmethod
    def _frozen_by_default(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and all(raw.get(name) is None for name in DEPTHS):
            return {**raw, LAYERS: 0}
        return raw

    @property
    def given(self) -> dict[str, Choices[Any] | Range]:
        """The dimensions by name, without the depth in the unit that the space does not use."""
        every = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: dimension for name, dimension in every if dimension is not None}

    @property
    def depths(self) -> Choices[Unfrozen] | Range:
        """The dimension of the depth to which trials unfreeze, in layers or in blocks."""
        given = self.unfrozen_blocks or self.unfrozen_layers
        assert given is not None, "one of them is given"
        return given

    def depth(self, backbone: str, count: Unfrozen) -> Depth:
        """The depth of `count` unfrozen layers, or blocks, whichever the space counts."""
        return (
            Depth(count) if self.unfrozen_blocks is None else row_of(backbone).anatomy.depth(count)
        )

    def prefix_depths(self, backbone: str) -> tuple[Depth, ...]:
        """The depths whose frozen prefixes the trials of a backbone share, the least first.

        These are all choices, or up to `CUTS_OF_A_RANGE` values of a range, including both ends. A
        trial between two of them is cut at the larger one, but trains no more layers for that.
        """
        return tuple(self.depth(backbone, count) for count in _spread(self.depths))

    def prefix_depth(self, depth: Depth, backbone: str) -> Depth:
        """The depth among `prefix_depths` whose prefix a trial of this depth uses."""
        if depth.frozen:
            return depth
        shared = (one for one in self.prefix_depths(backbone) if one.layers != "all")
        return next((one for one in shared if not one < depth), depth)

    def trained(self, chosen: Mapping[str, Any]) -> dict[str, int]:
        """The changes to a proposal that would train none of the layers that it unfreezes.

        The last layers of a network may hold no weights: the proposal then gets the next value of
        the range at which a layer trains.
        """
        layers, proposed = self.unfrozen_layers, chosen.get(LAYERS, 0)
        if proposed == 0 or not isinstance(layers, Range):
            return {}
        least = row_of(chosen["backbone"]).anatomy.least(chosen["train_batch_norm"])
        further = range(proposed, int(layers.high) + 1, int(layers.step or 1))
        return {LAYERS: next((n for n in further if n >= least), proposed)}

    def misfits(self) -> Iterator[Problem]:
        """Yield where and why the space does not fit a backbone or has both layers and blocks."""
        yield from self._unfit_tokens()
        yield from self._unfit_weights()
        if self.unfrozen_blocks is None:
            return
        if self.unfrozen_layers is not None:
            yield (BLOCKS,), f"expected either {LAYERS} or {BLOCKS}, found both"
        known = {file_name(name): row_of(name).anatomy for name in self.backbone.values}
        unknown = [name for name, anatomy in known.items() if anatomy.blocks == 0]
        if unknown:
            yield (BLOCKS,), f"the blocks of {', '.join(unknown)} are not known: use {LAYERS}"
            return
        for at, found in _numbers(self.unfrozen_blocks):
            short = [f"{n} has {a.blocks} {a.block}s" for n, a in known.items() if found > a.blocks]
            if short:
                most = min(one.blocks for one in known.values())
                why = f"found {found}, but {', '.join(short)}: expected {most} at most, or all"
                yield (BLOCKS, *at), why

    def _unfit_tokens(self) -> Iterator[Problem]:
        """Yield where the space treats a transformer as a convolutional network, or vice versa."""
        rows = [row_of(name) for name in self.backbone.values]
        if counted := _join_names(row for row in rows if row.tokens is not None):
            layers = self.unfrozen_layers
            if isinstance(layers, Range) or (layers is not None and {*layers.values} != {0}):
                yield (LAYERS,), f"{counted} can be cut between blocks only: use {BLOCKS}"
        if bare := _join_names(row for row in rows if not row.has_class_token):
            for index, name in enumerate(self.pooling.values):
                if name in CLASS_TOKEN_POOLINGS:
                    why = f"found {name}, but {bare} has no class token: expected default or gap"
                    yield ("pooling", index), why

    def _unfit_weights(self) -> Iterator[Problem]:
        """Yield where the space names a source of weights that a backbone does not have."""
        rows = [row_of(name) for name in self.backbone.values]
        hub, keras = (
            _join_names(r for r in rows if (r.spec is None) == no) for no in (False, True)
        )
        for index, name in enumerate(self.weights.values):
            if amiss := {"imagenet": hub, "preset": keras}.get(name):
                yield ("weights", index), f"found {name}, but {amiss} has none: expected default"

    def untrained(self) -> Iterator[Problem]:
        """Yield where and why the space unfreezes so few layers that none of them can train."""
        least = {file_name(name): self._least(name) for name in self.backbone.values}
        for at, found in self._layer_counts():
            frozen = [name for name in least if 0 < found < least[name]]
            if frozen:
                last = f"last {found} layers" if found > 1 else "last layer"
                why = f"nothing trains in the {last} of {', '.join(frozen)}"
                hint = f"expected 0 for the head alone, or {max(least.values())} and more"
                yield (LAYERS, *at), f"found {found}, but {why}: {hint}"

    def _layer_counts(self) -> Iterator[Written]:
        """The numbers of layers of which at least one must train, and where they are written.

        For a range from 0 this is its last value, since `trained` raises the others.
        """
        layers = self.unfrozen_layers
        if isinstance(layers, Range) and layers.low == 0:
            yield ("high",), int(layers.high - layers.high % (layers.step or 1))
        elif layers is not None:
            yield from _numbers(layers)

    def _least(self, backbone: str) -> int:
        """The fewest layers that train something in every trial of a backbone."""
        return row_of(backbone).anatomy.least(all(self.train_batch_norm.values))


def _join_names(rows: Iterable[Backbone]) -> str:
    return ", ".join(file_name(row.name) for row in rows)


def _spread(depth: Choices[Unfrozen] | Range) -> tuple[Unfrozen, ...]:
    """All choices, fewest first; for a range at most `CUTS_OF_A_RANGE` values."""
    if isinstance(depth, Choices):
        whole = sorted(value for value in depth.values if value != "all")
        return (*whole, "all") if "all" in depth.values else tuple(whole)
    low, high = int(depth.low), int(depth.high)
    steps = min(CUTS_OF_A_RANGE - 1, high - low)
    return tuple(low + -(-(high - low) * i // steps) for i in range(steps + 1))


def _numbers(depth: Choices[Unfrozen] | Range) -> Iterator[Written]:
    """The numbers of a dimension, each with its place in the dimension."""
    if isinstance(depth, Range):
        yield ("low",), int(depth.low)
        yield ("high",), int(depth.high)
        return
    for index, value in enumerate(depth.values):
        if value != "all":
            yield (index,), value
