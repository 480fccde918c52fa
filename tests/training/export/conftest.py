"""A small trained trial, and its bundle in every format."""

import numpy as np
import pytest
from PIL import Image

from tlsearch.bundle.export_request import ExportRequest
from tlsearch.bundle.manifest import TestScore
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.config.dataset import Data, Splits
from tlsearch.data.sources import prepare
from tlsearch.training.export.exporter import export_bundle
from tlsearch.training.trial import train

COLOURS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (200, 50, 40)}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Write noise images tinted by class, none of them square."""
    root = tmp_path_factory.mktemp("tints")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for number in range(24):
            height = 30 + 7 * (number % 3)  # a network is traced again for each size
            pixels = rng.normal(colour, 60, (height, 44, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
    return root


@pytest.fixture(scope="session")
def source(folder):
    splits = Splits(train=36, validation=18, test=18)
    return Data(path=folder, image_px=32, splits=splits, duplicates="keep")


@pytest.fixture(scope="session")
def trained(small_trial, source, cache, store, tmp_path_factory):
    """Return a request to export a trial that learned something, and its reported accuracy."""
    folder = tmp_path_factory.mktemp("trained")
    data = prepare(source, cache)
    *_, last = train(small_trial("all", dropout=0.0, epochs=4, batch_size=8), data, store)
    last.snapshot().save(folder / "best.npz", weights_only=True)
    request = ExportRequest(
        checkpoint=folder / "best.npz",
        data=data,
        pictures_from=source,
        formats=tuple(EXPORT_FORMATS),
        out=folder / "out" / "bundle",
        versions={"tlsearch": "0"},
        test=TestScore(metric="accuracy", value=0.5, low=0.25, high=0.75, pictures=18),
        recorded={last.epoch: last.value},
    )
    return request, last.value


@pytest.fixture(scope="session")
def bundle(trained):
    return export_bundle(trained[0]).manifest, trained[0].out
