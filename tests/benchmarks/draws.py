"""A data set from which every seed draws different training pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tlsearch.config.dataset import Data
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData, list_source, prepare
from tlsearch.data.splits import Indices


@dataclass(frozen=True, eq=False)
class Pictures:
    """A folder's decoded pictures; `fixed_test` are those of the folder's own test split."""

    name: str
    data: ImageData
    fixed_test: Indices

    def drawn(self, seed: int, train: int, validation: int = 0) -> ImageData:
        """Draw `train` and `validation` pictures by the seed, without duplicates.

        The test split is the folder's own if it has one, otherwise all remaining pictures. Without
        validation pictures, the first of each class are used, which take next to no time.
        """
        _, once = np.unique(self.data.hashes, return_index=True)
        once = np.sort(once)
        free = np.random.default_rng(seed).permutation(np.setdiff1d(once, self.fixed_test))
        if len(free) < train + validation:
            raise SystemExit(f"{self.name}: {len(free)} pictures, not {train + validation}")
        own = np.intersect1d(once, self.fixed_test)
        _, firsts = np.unique(self.data.labels, return_index=True)
        splits: dict[Split, Indices] = {
            "train": np.sort(free[:train]),
            "validation": np.sort(free[train : train + validation]) if validation else firsts,
            "test": own if len(own) else np.sort(free[train + validation :]),
        }
        return replace(self.data, splits=splits)


def pictures(
    folder: Path, image_px: int, cache: Path, classes: Mapping[str, str] | None = None
) -> Pictures:
    """Read pictures in one folder per class, with or without folders of splits around them.

    The folder's validation split may be trained on like the rest. `classes` is as in a search
    space.
    """
    config = Data(path=folder, image_px=image_px, classes=classes, duplicates="keep")
    named = any(example.split == "test" for example in list_source(config).examples)
    data = prepare(config, cache)
    fixed = data.splits["test"] if named else np.empty(0, dtype=np.int64)
    return Pictures(folder.name, data, fixed)
