"""Run the frozen prefix once over a split and keep its activations in the feature store."""

import functools
import logging
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
from tensorflow import Tensor

from tlsearch.base.array_types import Floats
from tlsearch.base.cores import one_ahead
from tlsearch.base.phases import Counter, phase
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.features import (
    Activation,
    Demand,
    FeatureKey,
    FeatureStore,
    split_digest,
    weights_key,
    worth_keeping,
)
from tlsearch.pace import POOLED
from tlsearch.store.arrays import Prepare
from tlsearch.store.shards import Block
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.epoch.prediction import (
    Array,
    Graph,
    Index,
    PaddedPrediction,
    compiled_prediction,
    row_bytes,
    rows_per_step,
    tensor_of,
)
from tlsearch.training.frozen.computed_rows import Computed, some_at_a_time
from tlsearch.training.frozen.views import DRAWN, View
from tlsearch.training.network.backbone import LoadedBackbone
from tlsearch.training.network.multiply_adds import forward_multiply_adds

log = logging.getLogger(__name__)


class Features:
    """The inputs of a trial that its backbone computes from images: pooled vectors and activations
    at cuts.
    """

    def __init__(
        self,
        trial: TrialConfig,
        backbone: LoadedBackbone,
        data: ImageData,
        store: FeatureStore,
        executor: Executor,
    ) -> None:
        self._trial, self._backbone, self._data = trial, backbone, data
        self._store, self._executor, self._device = store, executor, executor.device
        self._opened: dict[tuple[Split, int | None], dict[str, Floats]] = {}
        self._digests: dict[Split, str] = {}  # of pictures, cached because keys are built often
        self.multiply_adds = 0  # of prefixes, computed by this process for this trial
        self._cuts = self._distinct_cuts()

    def images(self, split: Split, view: int | None) -> Array:
        """Return the images of a split in one view, (n, height, width, 3) uint8; unchanged if
        `view` is None.
        """
        images = self._data.images(split)
        if view is None:
            return images
        return View(images, self._trial.augment, self._trial.view_seed, view, self._device)

    def pooled(self, split: Split, view: int | None = None) -> Floats:
        """Return the pooled output of the pretrained backbone, (n, width), on which the warm-up
        trains.
        """
        return np.asarray(self._at(POOLED, split, view)[:])

    def at_cut(self, split: Split, view: int | None = None) -> Array:
        """Return the activations at the trial's cut, (n, ...), or the images if nothing is frozen.

        They are memory-mapped if the store keeps them, and computed on access otherwise.
        """
        sections = self._backbone.sections(self._trial.prefix_depth)
        if sections.from_images:
            return self.images(split, view)
        return self._at(sections.name, split, view)

    def _at(self, cut: str, split: Split, view: int | None) -> Array:
        kept = self._open(split, view).get(cut)
        if kept is not None:
            return kept
        images = self.images(split, view)
        run, dtype = self._run([cut], images), np.dtype(self._store.dtype)
        shape, size = self._shape(cut), self._device.block_bytes
        return Computed(images, lambda which: run(which)[0], shape, dtype, size)

    def key(self, cut: str, split: Split, view: int | None) -> FeatureKey:
        """Return the key of everything that the activations at a cut depend on."""
        trial, row = self._trial, self._backbone.row
        view_text = "" if view is None else f"{DRAWN} {trial.augment} {trial.view_seed} {view}"
        return FeatureKey(
            weights=weights_key(row.build, self._backbone.digest),
            cut=f"{cut} {row.pooled_by(trial.pooling)}" if cut == POOLED else cut,
            preprocess=row.preprocess,
            image_px=trial.image_px,
            dtype=self._store.dtype,
            images=self._pictures(split),
            view=view_text,
            device=self._device.numerics(trial.backbone, trial.precision),
        )

    def _shape(self, cut: str) -> tuple[int, ...]:
        return tuple(self._cuts[cut].output.shape[1:])

    def _pictures(self, split: Split) -> str:
        if split not in self._digests:
            self._digests[split] = split_digest(self._data, split)
        return self._digests[split]

    def _distinct_cuts(self) -> dict[str, keras.Model]:
        """Return the prefixes, by the name of their cut, that the study's trials use; the pooled
        one first.
        """
        depths = sorted(self._study_depths())
        sections = [self._backbone.sections(depth) for depth in (Depth(0), *depths)]
        return {s.name: s.prefix for s in sections if not s.from_images}

    def _study_depths(self) -> set[Depth]:
        """Return the depths whose frozen prefixes the study's trials use."""
        return {self._trial.prefix_depth, *self._executor.prefix_depths(self._trial.backbone)}

    def _wanted_cuts(self, split: Split, view: int | None) -> list[str]:
        """Return the names of the cuts that trials read for this view.

        Pooled vectors are read in every view by trials that train the head alone, and in the
        warm-up's own views by trials with a warm-up. They are left out if no trial of either kind
        needs them.
        """
        warmed = self._trial.warm_up_epochs and view in (None, self._trial.view(1))
        return [
            name
            for name in self._cuts
            if name != POOLED or warmed or Depth(0) in self._study_depths()
        ]

    def _open(self, split: Split, view: int | None) -> dict[str, Floats]:
        if (split, view) not in self._opened:
            self._opened[split, view] = self._from_store(split, view)
        return self._opened[split, view]

    def _from_store(self, split: Split, view: int | None) -> dict[str, Floats]:
        """Return what the store holds or accepts: all cuts, else the trial's own, else nothing."""
        own = self._backbone.sections(self._trial.prefix_depth).name
        wanted = self._wanted_cuts(split, view)
        everything = [name for name in wanted if self._worth_keeping(name, split, view)]
        for names in (everything, [n for n in everything if n in (POOLED, own)]):
            arrays = self._together(names, split, view) if names else None
            if arrays is not None:
                return dict(zip(names, arrays, strict=True))
        return {}

    def _together(
        self, names: Sequence[str], split: Split, view: int | None
    ) -> list[Floats] | None:
        images = self.images(split, view)
        activations = [Activation(self.key(name, split, view), self._shape(name)) for name in names]
        demand = Demand(self._reads(split, view), self._own)
        with phase("computing features", len(images), "pictures") as counter:
            prepare = self._pass(names, images, counter)
            computed_bytes = 4 * sum(int(np.prod(one.shape)) for one in activations)  # of an image
            shard_rows = self._device.rows_of_shard(self._trial.backbone, computed_bytes)
            arrays = self._store.open_together(
                activations, len(images), prepare, shard_rows, demand, self._device.overlap
            )
            if arrays is not None:  # other processes may have computed some or all of them
                counter.reach(len(images))
            return arrays

    def _reads(self, split: Split, view: int | None) -> int:
        """Return how often the trial's epochs read one view of a split."""
        trial = self._trial
        if split != "train":
            return trial.epochs + 1
        return sum(trial.view(epoch) == view for epoch in range(1, trial.epochs + 1))

    @functools.cached_property
    def _own(self) -> frozenset[str]:
        """The names of all arrays that the trial reads in turn."""
        trial = self._trial
        trained_views = {trial.view(epoch) for epoch in range(trial.epochs + 1)}
        views: list[tuple[Split, int | None]] = [("train", view) for view in trained_views]
        cuts = {POOLED, self._backbone.sections(trial.prefix_depth).name}
        return frozenset(
            self.key(cut, split, view).name
            for split, view in [*views, ("validation", None)]
            for cut in cuts
        )

    def _pass(self, names: Sequence[str], images: Array, counter: Counter) -> Prepare:
        """Return one pass over the images that computes the activations at the missing cuts."""

        def prepare(missing: tuple[int, ...]) -> Block:
            run = self._run([names[index] for index in missing], images, counter)
            return lambda start, stop: run(slice(start, stop))

        return prepare

    def _run(
        self, names: Sequence[str], images: Array, counter: Counter | None = None
    ) -> Callable[[Index], list[Floats]]:
        """Return a function from an index into `images` to the activations at these cuts, computed
        in steps.
        """
        price = max(forward_multiply_adds(self._cuts[name].layers) for name in names)
        threads, take = self._device.step_overlap, functools.partial(tensor_of, images)
        compiled, step = self._compile_pass(names, images), self._step(images)

        def run(which: Index) -> list[Floats]:
            parts = []
            with (
                one_ahead(take, some_at_a_time(which, len(images), step), threads) as read,
                one_ahead(fetch_arrays, map(compiled, read), threads) as computed,
            ):
                for part in computed:
                    parts.append(part)
                    if counter is not None:
                        counter.advance(len(part[0]))
            self.multiply_adds += price * sum(len(part[0]) for part in parts)
            return [np.concatenate(cut) for cut in zip(*parts, strict=True)]

        return run

    def _step(self, images: Array) -> int:
        """Return how many images one step of the pass takes."""
        return self._device.rows_of_pass(self._trial.backbone, row_bytes(images))

    def _compile_pass(self, names: Sequence[str], images: Array) -> PaddedPrediction | Graph:
        """Return the pass to these cuts as one graph: images -> one array per cut."""
        outputs = [self._cuts[name].output for name in names]
        jit = self._device.compiles(self._trial.backbone)
        xla_rows = self._step(images) if jit else None
        make = functools.partial(frozen_pass, self._backbone, outputs, images, xla_rows)
        return self._executor.passes.get((self._backbone, tuple(names)), make)

    def _worth_keeping(self, name: str, split: Split, view: int | None) -> bool:
        """Return whether this cut is on disk already, or is cheaper to read than to compute."""
        if name == POOLED or self._store.holds(self.key(name, split, view)):
            return True
        prefix = self._cuts[name]
        share = forward_multiply_adds(prefix.layers) / max(
            1, forward_multiply_adds(self._backbone.model.layers)
        )
        size = int(np.prod(prefix.output.shape[1:])) * np.dtype(self._store.dtype).itemsize
        images = self.images(split, view)
        seconds = self._seconds_per_image(images) * share + self._seconds_to_augment(images)
        disk = self._executor.passes.get("disk", self._store.measure_disk)
        keep = worth_keeping(seconds, size, self._trial.epochs, disk)
        log.info(
            "%s at %s: %.2g s and %d bytes per image: %s",
            self._backbone.row.name, name, seconds, size, "kept" if keep else "recomputed",
        )  # fmt: skip
        return keep

    def _seconds_per_image(self, images: Array) -> float:
        """Return the seconds of the whole backbone per image on this machine, measured once."""

        def measure() -> float:
            few, run = images[: self._step(images)], self._compile_pass(list(self._cuts), images)
            return _second_time(lambda: run(few)) / max(1, len(few))

        seconds: float = self._executor.passes.get((self._backbone, "seconds"), measure)
        return seconds

    def _seconds_to_augment(self, images: Array) -> float:
        """Return the seconds of augmenting one image, measured once; 0 without augmentation."""
        if not isinstance(images, View):
            return 0.0
        count = rows_per_step(images, self._device)
        key = (images.augment, images.shape[1:], "seconds")
        measure = functools.partial(_second_time, lambda: images[:count])
        seconds: float = self._executor.passes.get(key, measure)
        return seconds / max(1, min(count, len(images)))


def backbone_key(trial: TrialConfig, backbone: LoadedBackbone, data: ImageData) -> FeatureKey:
    """Return the key of a backbone on a data set, independent of cut, view and feature type."""
    return FeatureKey(
        weights=weights_key(backbone.row.build, backbone.digest),
        cut="",
        preprocess=backbone.row.preprocess,
        image_px=trial.image_px,
        dtype="",
        images=split_digest(data, "train"),
    )


def frozen_pass(
    backbone: LoadedBackbone,
    outputs: Sequence[Tensor],
    images: Array,
    xla_rows: int | None = None,
) -> PaddedPrediction | Graph:
    """Return one graph from any number of images like these to the activations at `outputs` of the
    frozen backbone, one array each. With `xla_rows`, XLA compiles it for at most that many images.
    """
    part = keras.Model(backbone.model.input, outputs)

    def run(x: Tensor) -> Tensor:
        return keras.tree.flatten(backbone.frozen(part, backbone.preprocess(x)))

    return compiled_prediction(run, images, xla_rows)


def fetch_arrays(outputs: Sequence[Tensor]) -> list[Floats]:
    """Return tensors as arrays, waiting for their results: a GPU computes asynchronously."""
    return list(map(np.asarray, outputs))


def _second_time(run: Callable[[], object]) -> float:
    """Return the seconds of the second call of `run`, which no longer includes compilation."""
    run()
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
