"""Labels for image files: an unreadable file gets one line, and the rest are still labelled."""

import csv
import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from odd_pictures import odd_exifs, png, with_exif
from PIL import Image

from tlsearch.bundle import predict as predicting
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.bundle.predict import Prediction, image_files, predict_files
from tlsearch.cli.models.prediction_tables import print_predictions
from tlsearch.config.catalog import EXPORT_FORMATS

ODD = os.fsdecode(b"caf\xe9.png")


@pytest.fixture(autouse=True)
def a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def brightness(images: np.ndarray) -> np.ndarray:
        light = images.reshape(len(images), -1).mean(axis=1) / 255
        return np.stack([1 - light, light], axis=1)

    model = OpenModel(("dark", "light"), EXPORT_FORMATS["onnx"], 8, brightness)
    monkeypatch.setattr(predicting, "open_model", lambda *asked: model)


def predicted(*paths: Path) -> list[Prediction]:
    return [*predict_files(Path("bundle"), paths, top=1)]


@pytest.mark.filterwarnings("ignore")
def test_odd_exif_and_bombs_end_no_prediction(tmp_path: Path) -> None:
    for number, block in enumerate(odd_exifs(seed=1, count=100)):
        (tmp_path / f"{number:03d}.jpg").write_bytes(with_exif(block))
    (tmp_path / "bomb.png").write_bytes(png(13_000, 13_000))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone")
    Image.new("RGB", (8, 8), "white").save(tmp_path / "white.png")
    found = {one.path.name: one for one in predicted(tmp_path)}
    assert len(found) == 104
    assert all(bool(one.ranking) != bool(one.error) for one in found.values())
    assert found["000.jpg"].error is not None
    assert "refused, too many pixels (13000 x 13000" in str(found["bomb.png"].error)
    assert "a pipe, expected a file" in str(found["pipe.png"].error)
    assert "No such file" in str(found["nowhere.png"].error)
    assert found["white.png"].ranking == (("light", 1.0),)


def test_a_link_to_nowhere_is_one_picture_among_others(tmp_path: Path) -> None:
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone")
    assert [*image_files([tmp_path / "nowhere.png"])] == [tmp_path / "nowhere.png"]


def test_a_folder_that_cannot_be_listed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    scandir = os.scandir

    def closed(path: str | Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    good, bad = predicted(tmp_path)
    assert good.ranking == (("dark", 1.0),)
    assert bad.error == f"{tmp_path}/closed: cannot be read (Permission denied)"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_names_that_are_no_text_are_printed_as_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / ODD)
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"")
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    failed = print_predictions(predicted(tmp_path), form, 2)  # type: ignore[arg-type]
    for stream in (out, err):
        stream.seek(0)
    shown = rf"{tmp_path}/caf\udce9.png"
    text = out.read()
    first = {
        "json": lambda: json.loads(text)[0]["path"],
        "csv": lambda: [*csv.reader(text.splitlines())][1][0],
        "table": lambda: text.splitlines()[2].split()[0],
    }
    assert first[form]() == shown
    assert failed == 1
    assert err.read() == f"error: {tmp_path}/\\udcff.png: cannot be read (not an image)\n"
