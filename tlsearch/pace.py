"""What a backbone costs on one machine: measured where TensorFlow is, read where it is not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlsearch.config.networks.unfreezing import Depth

POOLED = "pool"  # the cut at the pooled vector, behind the whole backbone


@dataclass(frozen=True)
class Suffix:
    """What comes after one cut of a backbone, head included, and what an image takes there.

    `numbers` are those of one row at the cut (of one image where nothing is frozen), `share` the
    part of a whole pass that the prefix is, `cost` the multiply-adds of training on one image,
    `trained` the numbers that train. `train_s` and `predict_s` are seconds an image, `trace_s`
    those that a process needs before its first epoch.
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
    """One backbone at one image size and number of threads: `pass_s` is a whole frozen pass of one
    image, `trace_s` what a process needs before its first, `suffixes` one for each cut.
    """

    multiply_adds: int
    pass_s: float
    trace_s: float
    suffixes: tuple[Suffix, ...]

    def suffix(self, depth: Depth) -> Suffix:
        """The one behind the cut of this depth."""
        return next(suffix for suffix in self.suffixes if suffix.depth == depth)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Pace":
        """As `dataclasses.asdict` wrote it; TypeError, KeyError where it is none."""
        suffixes = tuple(
            Suffix(**{**suffix, "depth": Depth(**suffix["depth"])}) for suffix in plain["suffixes"]
        )
        return cls(**{**plain, "suffixes": suffixes})
