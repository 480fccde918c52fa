"""Searches requested from Python code: by names, plain values and arrays."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlsearch
from tlsearch.base.errors import ConfigError, DataError
from tlsearch.config.load import load
from tlsearch.data.sources import prepare
from tlsearch.search.requested import checked_config, validate

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 6), dtype=np.uint8)
LABELS = np.arange(40) % 2


def test_a_name_a_file_and_a_configuration_are_one() -> None:
    config = load("quickstart", ["trials=3"])
    assert checked_config("quickstart", ["trials=3"]) == config
    assert checked_config(config) is config
    assert checked_config(config, ["trials=4"]).trials == 4


def test_plain_values_may_hold_what_python_code_has(tmp_path: Path) -> None:
    space = {"backbone": ("strokes", "photos"), "dropout": (0.0, np.float64(0.5))}
    config = checked_config(
        {"data": {"kind": "digits"}, "space": space, "cache": tmp_path, "trials": np.int64(3)}
    )
    assert (config.trials, config.cache) == (3, tmp_path)
    assert config.space.backbone.values == ("strokes", "photos")


@pytest.mark.parametrize("odd", [object(), len])
def test_a_value_that_is_none_of_yaml_is_refused(odd: Any) -> None:
    with pytest.raises(ConfigError, match="not a YAML value"):
        checked_config({"data": {"kind": "digits"}, "trials": odd})


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], [str(one) for one in LABELS]])
def test_arrays_are_kept_and_read_back(tmp_path: Path, labels: Any) -> None:
    asked = {"cache": str(tmp_path), "data": {"splits": {"validation": 8, "test": 8}}}
    config = checked_config(asked, data=(IMAGES, labels))
    assert config == checked_config(asked, data=(IMAGES, labels))
    assert len([*(tmp_path / "arrays").iterdir()]) == 1
    assert (config.data.kind, config.data.image_px) == ("npz", 64)
    data = prepare(config.data, config.cache_path)
    assert data.classes == ("0", "1")
    assert {split: len(rows) for split, rows in data.splits.items()} == {
        "train": 24,
        "validation": 8,
        "test": 8,
    }


def test_the_squares_that_were_asked_for_stay(tmp_path: Path) -> None:
    asked = {"cache": tmp_path, "data": {"image_px": 32}}
    assert checked_config(asked, data=(IMAGES, LABELS)).data.image_px == 32


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 255, LABELS, "data: images: found .* of float64, expected .* of uint8"),
        (IMAGES, LABELS[:3], r"data: labels: found \(3,\) of int64, expected \(40,\)"),
        ([IMAGES[0], IMAGES[1][:2]], [0, 1], "data: images: not one array"),
    ],
)
def test_arrays_that_are_no_images_are_refused(
    tmp_path: Path, images: Any, labels: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        checked_config({"cache": tmp_path}, data=(images, labels))


def test_missing_packages_end_validate_run_and_export_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    space = {"data": {"kind": "digits"}, "export": ["keras", "onnx"]}
    for ask in (validate, lambda one: tlsearch.run(one, tmp_path / "study")):
        with pytest.raises(
            ConfigError, match=r"onnx needs onnxruntime on .*`pip install 'onnxrunt"
        ):
            ask(space)
    assert not (tmp_path / "study").exists()
