"""CIFAR's batches, pickled by Python 2 like the original ones, but tiny."""

import io
import pickle
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest


class Python2Pickler(pickle._Pickler):
    """A pickler that writes text and bytes as Python 2's `str`, and numpy's old module name."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_str(self, text: str | bytes) -> None:
        raw = text.encode() if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_str

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch[type] = save_global
    dispatch[type(pickle.dumps)] = save_global


def by_python_2(value: Any) -> bytes:
    """Pickle a value as Python 2 did in 2009."""
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Any], bytes]] = {
    "python 2": by_python_2,
    **{f"protocol {number}": partial(pickle.dumps, protocol=number) for number in (2, 3, 4, 5)},
}


@pytest.fixture(params=WRITERS)
def dumps(request: pytest.FixtureRequest) -> Callable[[Any], bytes]:
    """Every way in which a batch may have been pickled."""
    return WRITERS[request.param]


@pytest.fixture
def cifar(tmp_path: Path) -> Callable[..., Path]:
    """Write CIFAR-10 or CIFAR-100 with only two classes: image i of a batch has the label i % 2."""
    return lambda classes=10, per_batch=4: LAYOUTS[classes](tmp_path / "batches", per_batch)


def cifar_10(root: Path, per_batch: int) -> Path:
    """Write `cifar-10-batches-py`: five batches of train, one of test."""
    _write(root / "batches.meta", {"label_names": ["airplane", "automobile"], "num_vis": 3072})
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for place, name in enumerate(names):
        _write(root / name, _batch(per_batch, place) | {"batch_label": name})
    return root


def cifar_100(root: Path, per_batch: int) -> Path:
    """Write `cifar-100-python`, with coarse labels in addition to the fine ones."""
    names = {"fine_label_names": ["apple", "bee"], "coarse_label_names": ["fruit", "insects"]}
    _write(root / "meta", names)
    for seed, name in enumerate(("train", "test")):
        batch = _batch(per_batch, seed)
        fine = batch.pop("labels")
        _write(root / name, batch | {"fine_labels": fine, "coarse_labels": fine[::-1]})
    return root


LAYOUTS = {10: cifar_10, 100: cifar_100}


def _batch(count: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    return {"data": data, "labels": [row % 2 for row in range(count)]}


def _write(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(by_python_2(values))
