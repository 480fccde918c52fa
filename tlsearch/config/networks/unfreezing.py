"""How deep a trial unfreezes its backbone: one value from the configuration to the network."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tlsearch.config.dimension import whole_or

LAYERS, BLOCKS = DEPTHS = ("unfrozen_layers", "unfrozen_blocks")  # a space has one of them
HEAD_LR, FINE_TUNE_LR = RATES = ("head_lr", "fine_tune_lr")  # a trial uses one of them

# A number of last layers, or of last blocks.
Unfrozen = Annotated[int | Literal["all"], whole_or("all", 0)]


@dataclass(frozen=True)
class Depth:
    """How many of a backbone's last layers a trial trains; with 0 it trains the head alone.

    `blocks` is the requested depth if it was given in blocks; `layers` follows from it, and is None
    only if a record lacks it. Two depths are equal if the same layers train; a depth is less than
    another if fewer layers train.
    """

    layers: Unfrozen | None
    blocks: Unfrozen | None = field(default=None, compare=False)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Depth":
        """The depth of a recorded configuration, of a proposal, or of a row of the leaderboard."""
        return cls(config.get(LAYERS), config.get(BLOCKS))

    def to_json(self) -> dict[str, Unfrozen | None]:
        """The depth as a configuration holds it; `of` reads it."""
        return {LAYERS: self.layers, BLOCKS: self.blocks}

    def __lt__(self, other: "Depth") -> bool:
        return self._number < other._number

    @property
    def frozen(self) -> bool:
        """Whether the whole backbone stays as it was, so that only the head trains."""
        return 0 in (self.layers, self.blocks)

    @property
    def rate(self) -> str:
        """The name of the learning rate that a trial uses: the head's if nothing is unfrozen."""
        return HEAD_LR if self.frozen else FINE_TUNE_LR

    @property
    def first_ranked_epoch(self) -> int:
        """The first epoch whose value counts for a trial.

        Epoch 0 is the head after warm-up. All trials with its backbone and head share it, so it
        counts only for those that train the head alone.
        """
        return 0 if self.frozen else 1

    @property
    def label(self) -> str | None:
        """The requested depth in words: "15", "3 blocks", "all"; None if a record lacks it."""
        if self.blocks is None:
            return None if self.layers is None else str(self.layers)
        return "all" if self.blocks == "all" else f"{self.blocks} block{'s'[: self.blocks != 1]}"

    def first_layer(self, total: int) -> int:
        """The index of the first of `total` layers that trains; `total` if none does."""
        return int(max(0, total - self._number))

    @property
    def _number(self) -> float:
        assert self.layers is not None, "a trial's configuration tells it"
        return math.inf if self.layers == "all" else self.layers


# Backbones, each with the depths whose frozen prefixes its trials share.
PrefixDepths = tuple[tuple[str, tuple[Depth, ...]], ...]
