"""Images per second of one network in one precision, by tlsearch and by a Keras loop.

    python tests/benchmarks/gpu_paces.py SETUP.json < REQUESTS

`gpu.py` starts it. SETUP holds backbone, precision, jit, px, images, batch, repeats, cpus, gpus. A
request is a line of JSON: the work and the program. The answer is a line of JSON: images per
second, the extra seconds of the first round (tracing, compiling; for suffix also the pass), the
GPU's busy share and memory in the other rounds, and TensorFlow's peak memory. Requests come one at
a time. Weights and pictures are random.

    pass    the frozen backbone over all pictures, to pooled vectors in memory
    kept    the same into the feature store, checksums and fsync included (tlsearch alone)
    suffix  a training epoch of the last block and a head, on features at the cut
    step    a training epoch of the whole network, on pictures
"""

import contextlib
import dataclasses
import functools
import gc
import importlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import keras
import numpy as np
import tensorflow as tf
import vit
from gpu_meter import Meter, first_gpu

from tlsearch.base.gpus import describe_gpus
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.device import DeviceProfile, chosen_profile, keras_policy
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureStore, TooLargeError
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.frozen.prefix import Features
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.network.cut import choose_cut
from tlsearch.training.probe import pass_rows
from tlsearch.training.runtime import apply_profile, limit_resources
from tlsearch.training.session import Session

CLASSES = 10
RATE = 1e-5
EPOCHS = 1000  # more than are trained, so that features are worth keeping
HAND_PASS_BATCH = 256
GPU = "GPU:0"

Setup = dict[str, Any]
# The number of rounds over all pictures -> the moments from the first start to the last end.
Rounds = Callable[[int], list[float]]


def main() -> None:
    setup = json.loads(Path(sys.argv[1]).read_text())
    vit.add_to_catalogue()
    limit_resources(setup["cpus"], setup["gpus"])
    with _answers() as out, tempfile.TemporaryDirectory(prefix="gpu-paces-") as folder:
        data = _synthetic(setup, Path(folder))
        for line in sys.stdin:
            answer = _answer(json.loads(line), setup, data, Path(folder))
            out.write(json.dumps(answer) + "\n")
            out.flush()


@contextlib.contextmanager
def _answers() -> Iterator[TextIO]:
    """Yield the stream for answers, while the output of libraries goes to stderr."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        yield out


def _synthetic(setup: Setup, folder: Path) -> ImageData:
    """Write pictures of noise; a few of the training pictures also validate."""
    rng, count, px = np.random.default_rng(0), setup["images"], setup["px"]
    np.save(folder / "images.npy", rng.integers(0, 256, (count, px, px, 3), np.uint8))
    few = np.arange(CLASSES)
    return ImageData(
        images_path=folder / "images.npy",
        classes=tuple(map(str, few)),
        labels=np.arange(count, dtype=np.int32) % CLASSES,
        hashes=np.arange(count, dtype=np.uint64),
        splits={"train": np.arange(count), "validation": few, "test": few},
        fingerprint="noise",
    )


def _answer(request: dict[str, str], setup: Setup, data: ImageData, folder: Path) -> dict[str, Any]:
    """Return the measurement; if it failed, the error in one line, as `failed`."""
    programs = {"tlsearch": _by_tlsearch, "by hand": _by_hand}
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            run = programs[request["program"]](request["work"], setup, data, Path(scratch))
            return _measured(run, setup["repeats"], len(data.labels))
    except Exception as error:  # whatever TensorFlow raises: the next measurement may succeed
        traceback.print_exc()
        first = next(iter(str(error).splitlines()), "")
        return {"failed": f"{type(error).__name__}: {first}"}
    finally:
        keras.utils.clear_session()
        gc.collect()


def _measured(run: Rounds, repeats: int, images: int) -> dict[str, Any]:
    on_gpu = bool(tf.config.get_visible_devices("GPU"))
    if on_gpu:
        tf.config.experimental.reset_memory_stats(GPU)
    with Meter() as meter:
        moments = run(1 + repeats)
    first, *rest = np.diff(moments).tolist()
    steady = statistics.median(rest)
    peak = tf.config.experimental.get_memory_info(GPU)["peak"] if on_gpu else None
    seen = meter.measured_between(moments[1], moments[-1])
    return {
        "images_per_s": images / steady,
        "first_s": max(0.0, first - steady),
        **seen,
        "peak_mib": None if peak is None else peak / 2**20,
    }


def _each(once: Callable[[], object]) -> Rounds:
    """Return rounds that each call a function once."""

    def run(times: int) -> list[float]:
        moments = [time.monotonic()]
        for _ in range(times):
            once()
            moments.append(time.monotonic())
        return moments

    return run


def _by_tlsearch(work: str, setup: Setup, data: ImageData, scratch: Path) -> Rounds:
    device = profile(setup)
    apply_profile(device)
    executor = Executor((), device)
    if work in ("pass", "kept"):
        return _passes(_trial(setup, unfrozen_blocks=0), data, scratch, executor, work)
    depth = {"unfrozen_layers": "all"} if work == "step" else {"unfrozen_blocks": 1}
    session = _session(_trial(setup, **depth), data, scratch, executor)
    numbers = itertools.count(1)
    return _each(lambda: session.train(next(numbers)))


def profile(setup: Setup) -> DeviceProfile:
    """Return the device profile of a study with this precision and XLA setting on this machine."""
    backbone, precision = setup["backbone"], setup["precision"]
    gpus = describe_gpus(first_gpu()) if setup["gpus"] else None
    device = chosen_profile(precision, "on" if setup["jit"] else "off", [backbone], gpus)
    if gpus is None:
        return device
    rows = _pass_rows(backbone, setup["px"], precision)
    return dataclasses.replace(device, pass_rows=((backbone, rows),))


@functools.cache
def _pass_rows(backbone: str, px: int, precision: str) -> int:
    """Measure the rows per pass without XLA, which would compile every number that is tried."""
    return pass_rows(load_backbone(backbone, "none", px, "gap", precision), px, jit=False)


def _trial(setup: Setup, **depth: Any) -> TrialConfig:
    return TrialConfig(
        backbone=setup["backbone"],
        weights="none",
        image_px=setup["px"],
        batch_size=setup["batch"],
        epochs=EPOCHS,
        optimizer="adam",
        head_lr=RATE,
        fine_tune_lr=RATE,
        precision=setup["precision"],
        **depth,
    )


def _passes(
    trial: TrialConfig, data: ImageData, scratch: Path, executor: Executor, work: str
) -> Rounds:
    """Return passes with one compiled graph, each into a new store; for `pass` it keeps nothing."""
    backbone = executor.network(trial, CLASSES).backbone
    budget, numbers = (None if work == "kept" else 0), itertools.count()

    def once() -> None:
        store = FeatureStore(scratch / str(next(numbers)), trial.feature_dtype, budget)
        Features(trial, backbone, data, store, executor).pooled("train")

    return _each(once)


def _session(trial: TrialConfig, data: ImageData, scratch: Path, executor: Executor) -> Session:
    """Return a session of a trial; random weights may need features in float32."""
    store = FeatureStore(scratch, trial.feature_dtype)
    try:
        return Session(trial, data, store, executor)
    except TooLargeError:
        return Session(trial, data, store.with_dtype("float32"), executor)


def _by_hand(work: str, setup: Setup, data: ImageData, scratch: Path) -> Rounds:
    precision = setup["precision"]
    tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(keras_policy(precision))
    try:
        model, rows = _model(work, setup, data)
    finally:
        keras.config.set_dtype_policy(before)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = keras.optimizers.Adam(RATE)
    model.compile(adam, loss, metrics=["accuracy"], jit_compile=setup["jit"])
    if work == "pass":
        batches = _batches(rows, data.labels, HAND_PASS_BATCH, shuffled=False)
        return _each(lambda: model.predict(batches, verbose=0))
    batches = _batches(rows, data.labels, setup["batch"], shuffled=True)
    return lambda times: _fitted(model, batches, times)


def _model(work: str, setup: Setup, data: ImageData) -> tuple[keras.Model, Any]:
    """Return the model that a Keras user would write for this work, and its inputs."""
    row, shape = BACKBONES[setup["backbone"]], (setup["px"], setup["px"], 3)
    base = _attribute(row.build)(include_top=False, weights=None, input_shape=shape, **row.options)
    for layer in base.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    if work == "suffix":
        cut = choose_cut(base, row.anatomy.depth(1)).tensor
        rows, inputs = _features(len(data.labels), cut), keras.Input(cut.shape[1:])
        maps = keras.Model(cut, base.output)(inputs, training=False)
    else:
        rows, inputs = np.load(data.images_path), keras.Input(shape)
        assert row.reference
        maps = base(_attribute(row.reference)(inputs), training=False)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32")(maps)
    if work != "pass":
        x = keras.layers.Dense(CLASSES, dtype="float32")(x)
    return keras.Model(inputs, x), rows


def _features(count: int, cut: Any) -> Any:
    """Return random numbers in place of features at a cut, with as many bytes as tlsearch keeps."""
    numbers = np.random.default_rng(0).random((count, *cut.shape[1:]), np.float32)
    return numbers.astype(np.float16)


def _attribute(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _batches(rows: Any, labels: Any, batch: int, shuffled: bool) -> tf.data.Dataset:
    """Return batches that other threads gather from memory."""
    with tf.device("CPU:0"):  # else TensorFlow copies them to the GPU and back
        rows, labels = tf.constant(rows), tf.constant(labels)
    places = tf.data.Dataset.range(len(rows))
    if shuffled:
        places = places.shuffle(len(rows))

    def gathered(some: Any) -> tuple[Any, Any]:
        return tf.gather(rows, some), tf.gather(labels, some)

    batches = places.batch(batch).map(gathered, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def _fitted(model: keras.Model, batches: tf.data.Dataset, epochs: int) -> list[float]:
    moments = [time.monotonic()]

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            moments.append(time.monotonic())

    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=[Clock()])
    return moments


if __name__ == "__main__":
    main()
