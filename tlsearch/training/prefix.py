"""Run the frozen prefix once over a split, into the feature store."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureKey, FeatureStore, split_digest
from tlsearch.training.loop import Array, compiled_prediction, iterate
from tlsearch.training.model import Network

POOL = "pool"


class Features:
    """The inputs of a trial's two phases for each split, opened or computed once."""

    def __init__(self, network: Network, data: ImageData, store: FeatureStore) -> None:
        self._network, self._data, self._store = network, data, store

    def pooled(self, split: Split) -> NDArray[Any]:
        """Pooled output of the untouched backbone, (n, width): what warm-up trains on."""
        return self._open(POOL, split)

    def at_cut(self, split: Split) -> Array:
        """Activations at the cut, (n, ...); the images where nothing is frozen."""
        if self._network.sections.from_images:
            return self._data.images(split)
        return self._open(self._network.sections.name, split)

    def _open(self, cut: str, split: Split) -> NDArray[Any]:
        backbone, images = self._network.backbone, self._data.images(split)
        key = FeatureKey(
            weights=f"{backbone.row.build} {backbone.digest}",
            cut=cut,
            preprocess=backbone.row.preprocess,
            image_px=images.shape[1],
            dtype=self._store.dtype,
            images=split_digest(self._data, split),
        )
        return self._store.open(key, len(images), lambda: self._compute(cut, images))

    def _compute(self, cut: str, images: Array) -> Iterator[NDArray[Any]]:
        network = self._network
        function = network.pooled if cut == POOL else network.features
        return iterate(compiled_prediction(function, images), images)
