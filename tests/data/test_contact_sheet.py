"""The contact sheet: each class in its own row, under its name, with as many images as it has."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tlsearch.config.dataset import Data
from tlsearch.data.contact_sheet import GAP_PX, NAME_PX, PICTURE_PX, contact_sheet
from tlsearch.data.sources import prepare

SHADES = {"cat": 40, "dog": 200}


def test_each_class_has_a_row_of_its_own_pictures(
    image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = image_folder({f"{s}/{c}": 3 for s in ("train", "val", "test") for c in SHADES})
    for file in root.rglob("*.png"):
        Image.new("RGB", (9, 9), (SHADES[file.parent.name],) * 3).save(file)
    data = prepare(Data(path=root, image_px=9, duplicates="keep"), tmp_path / "cache")
    sheet = np.asarray(contact_sheet(data, per_class=5))
    row_px = NAME_PX + PICTURE_PX + GAP_PX
    assert sheet.shape == (2 * row_px, 5 * (PICTURE_PX + GAP_PX) + GAP_PX, 3)
    for place, shade in enumerate(SHADES.values()):
        row = sheet[place * row_px + NAME_PX : (place + 1) * row_px - GAP_PX]
        for column in range(5):
            at = GAP_PX + column * (PICTURE_PX + GAP_PX)
            expected = shade if column < 3 else 255  # each class has three
            assert (row[:, at : at + PICTURE_PX] == expected).all()
        assert (sheet[place * row_px : place * row_px + NAME_PX] < 128).any(), "no name"
