"""The request of a caller in Python as a checked configuration, with images given as arrays."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tlsearch.base.array_types import AnyArray
from tlsearch.base.errors import DataError
from tlsearch.base.files import absolute_path, atomic_file, disk_error
from tlsearch.config.load import from_mapping, load
from tlsearch.config.networks.network_memory import require_memory
from tlsearch.config.requirements import require_packages
from tlsearch.config.schema import SearchConfig
from tlsearch.data.image_size import proposed_px
from tlsearch.data.kinds.npz import require_images, require_labels
from tlsearch.search.extend import plain_config

# A checked configuration, plain values as in YAML, a YAML file, or the name of a shipped space.
Space = SearchConfig | Mapping[str, Any] | str | Path
Arrays = tuple[ArrayLike, ArrayLike]  # images, labels

FOLDER = "arrays"  # inside the cache
_NOT_OF_ARRAYS = ("kind", "path", "name", "root")


def checked_config(
    space: Space, settings: Sequence[str] = (), data: Arrays | None = None
) -> SearchConfig:
    """Return the checked configuration of a search space; raises ConfigError if it is invalid.

    `data` replaces the data of the space: images and labels as arrays. They are written to the
    cache, so that another process can resume the study.
    """
    if data is None and isinstance(space, SearchConfig) and not settings:
        return space
    if data is None and isinstance(space, str | Path):
        return load(space, settings)
    values = _values(space)
    if data is not None:
        values = {**values, "data": _data(values, *data)}
    return from_mapping(values, settings=settings)


def validate(space: Space, settings: Sequence[str] = ()) -> SearchConfig:
    """Return the checked configuration of a search space, as far as this machine can run it.

    Raises ConfigError if it is invalid, or if this machine, which would export the winner, lacks a
    required package or the memory for one of the networks.
    """
    config = checked_config(space, settings)
    require_packages(config)
    require_memory(config)
    return config


def _values(space: Space) -> dict[str, object]:
    if isinstance(space, SearchConfig):
        return plain_config(space)
    values = _plain(space if isinstance(space, Mapping) else plain_config(load(space)))
    assert isinstance(values, dict)
    return values


def _plain(value: Any) -> Any:
    """Convert a value to YAML types: paths to text, tuples to lists, NumPy scalars to numbers."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, PurePath) else value


def _data(values: Mapping[str, Any], images: ArrayLike, labels: ArrayLike) -> dict[str, object]:
    """The section `data` for arrays: the file that holds them, and by default a suitable
    `image_px`.
    """
    given = values.get("data") or {}
    pixels, names = _array("images", images), _array("labels", labels)
    names = names[:, 0] if names.shape == (len(pixels), 1) else names  # the shape in keras.datasets
    require_images("data", pixels.shape, pixels.dtype)
    require_labels("data", names.shape, names.dtype, len(pixels))
    cache = absolute_path(Path(values.get("cache", SearchConfig.model_fields["cache"].default)))
    kept = {key: value for key, value in given.items() if key not in _NOT_OF_ARRAYS}
    px = proposed_px([(pixels.shape[2], pixels.shape[1])])
    return {"image_px": px, **kept, "kind": "npz", "path": str(_write_arrays(cache, pixels, names))}


def _array(name: str, values: ArrayLike) -> AnyArray:
    try:
        return np.atleast_1d(np.asarray(values))
    except ValueError as error:
        raise DataError(
            f"data: {name}: not one array ({error}); images must have one size"
        ) from error


def _write_arrays(cache: Path, images: AnyArray, labels: AnyArray) -> Path:
    """The file that holds the arrays, named by the digest of their content; written if absent."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (images, labels):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    path = cache / FOLDER / f"{digest.hexdigest()}.npz"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                np.savez(file, images=np.ascontiguousarray(images), labels=labels)
        except OSError as error:
            raise disk_error(error) or error from error
    return path
