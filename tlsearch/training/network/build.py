"""Build the network of a catalogue row and load its weights."""

import contextlib
import functools
import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
from filelock import FileLock
from keras.src.utils import file_utils

from tlsearch.base.errors import WeightsError
from tlsearch.base.files import absolute_path
from tlsearch.config.networks.row import Backbone


def build_network(row: Backbone, weights: str, image_px: int) -> keras.Model:
    """Return the network of a row without its top, with these weights; raises WeightsError if they
    cannot be loaded.
    """
    module, function = row.build.split(":")
    builder = getattr(importlib.import_module(module), function)
    build = functools.partial(
        builder,
        include_top=False,
        input_shape=(image_px, image_px, 3),
        **row.options,
    )
    if weights == "none":
        keras.utils.set_random_seed(0)
        return build(weights=None)
    if weights == "imagenet":
        return _imagenet(row, build)
    if weights == "preset":
        return build(weights=weights)
    path = row.shipped_path if weights == "shipped" else Path(weights)
    if path is None or not path.is_file():
        raise WeightsError(f"{path}: no such weight file (use a path, imagenet, default or none)")
    return _from_file(build, path, _is_official(builder, path))


def _imagenet(row: Backbone, build: "functools.partial[keras.Model]") -> keras.Model:
    """Build the network with its ImageNet weights, downloaded if they are not on this machine."""
    try:
        with one_at_a_time():
            return build(weights="imagenet")
    except Exception as error:  # urllib, ssl, h5py: the download can fail in many ways
        raise WeightsError(
            f"{row.name}: its ImageNet weights are not under {download_folder()} and could not be "
            f"downloaded ({error}); copy them there, set KERAS_HOME, or use a shipped backbone"
        ) from error


def one_at_a_time() -> FileLock:
    """Return a lock for loading weights: one process per machine at a time, because Keras and the
    hubs download straight to the final path.
    """
    return FileLock(Path(tempfile.gettempdir()) / f"tlsearch-weights-{os.getuid()}.lock")


def download_folder() -> Path:
    """Return the folder in which Keras stores downloaded weights."""
    return absolute_path(Path(os.environ.get("KERAS_HOME", "~/.keras"))) / "models"


def _from_file(build: "functools.partial[keras.Model]", path: Path, official: bool) -> keras.Model:
    """Return the network with the weights of a file; for an official file, the network that Keras
    builds for it.

    Keras adds a layer to EfficientNet B0 to B3 for its own weights, but only if they are requested
    by name ("imagenet").
    """
    try:
        if official:
            with _downloaded_to(path):
                return build(weights="imagenet")
        model = build(weights=None)
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many types for a file that does not fit
        name = build.func.__name__
        raise WeightsError(f"{path}: does not hold weights of {name} ({error})") from error
    return model


def _is_official(builder: Callable[..., keras.Model], path: Path) -> bool:
    """Return whether Keras publishes exactly this file for networks of this kind, by its MD5."""
    published = getattr(sys.modules[builder.__module__], "WEIGHTS_HASHES", {})
    if not published:
        return False
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    return any(found in hashes for hashes in published.values())


@contextlib.contextmanager
def _downloaded_to(path: Path) -> Iterator[None]:
    """Let Keras use this file instead of downloading one inside this context."""
    before = file_utils.get_file
    file_utils.get_file = lambda *arguments, **more: str(path)
    try:
        yield
    finally:
        file_utils.get_file = before
