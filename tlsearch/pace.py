"""The cost of a backbone on one machine, as plain values that can be read without TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlsearch.config.networks.unfreezing import Depth

POOLED = "pool"  # the cut at the pooled vector, after the whole backbone


@dataclass(frozen=True)
class Suffix:
    """The layers after one cut of a backbone, including the head, and their cost.

    `numbers` counts the values of one row at the cut (of one image if nothing is frozen), `share`
    is the prefix's share of a whole pass, `cost` the multiply-adds of training on one image, and
    `trained` counts the parameters that train. `train_s` and `predict_s` are seconds per image,
    `trace_s` are the seconds that a process needs before its first epoch.
    """

    depth: Depth
    cut_name: str
    from_images: bool
    numbers: int
    share: float
    cost: int
    trained: int
    train_s: float
    predict_s: float
    trace_s: float


@dataclass(frozen=True)
class Pace:
    """The cost of one backbone at one image size and number of threads.

    `pass_s` are the seconds of a whole frozen pass of one image, `trace_s` those that a process
    needs before its first pass. `suffixes` has an entry for each cut.
    """

    multiply_adds: int
    pass_s: float
    trace_s: float
    suffixes: tuple[Suffix, ...]

    def suffix(self, depth: Depth) -> Suffix:
        """The suffix after the cut of this depth."""
        return next(suffix for suffix in self.suffixes if suffix.depth == depth)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Pace":
        """Read what `dataclasses.asdict` wrote; raises TypeError or KeyError for anything else."""
        suffixes = tuple(
            Suffix(**{**suffix, "depth": Depth(**suffix["depth"])}) for suffix in plain["suffixes"]
        )
        return cls(**{**plain, "suffixes": suffixes})
