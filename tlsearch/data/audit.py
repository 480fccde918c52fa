"""What is wrong with the splits: the same picture on both sides of a boundary."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlsearch.data.listing import Split
from tlsearch.data.splits import Indices

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Duplicates:
    """How many images stand again in a later split, and what of train to drop for it."""

    train_in_validation: int
    train_in_test: int
    validation_in_test: int
    train_again: Indices

    @property
    def any(self) -> bool:
        """Whether a picture stands in two splits."""
        return bool(self.train_in_validation or self.train_in_test or self.validation_in_test)

    def __str__(self) -> str:
        return (
            f"the same picture in two splits: train and validation {self.train_in_validation}, "
            f"train and test {self.train_in_test}, validation and test {self.validation_in_test}"
        )


def find_duplicates(hashes: Hashes, splits: dict[Split, Indices]) -> Duplicates:
    """Count pictures of equal pixels across splits; `train_again` are the train indices of them."""
    train, validation, test = (hashes[splits[name]] for name in ("train", "validation", "test"))
    in_validation, in_test = np.isin(train, validation), np.isin(train, test)
    return Duplicates(
        train_in_validation=int(in_validation.sum()),
        train_in_test=int(in_test.sum()),
        validation_in_test=int(np.isin(validation, test).sum()),
        train_again=splits["train"][in_validation | in_test],
    )
