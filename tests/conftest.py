"""What several floors' tests need: which checks can run here, and small pictures in folders."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

hypothesis.settings.register_profile("patient", deadline=None)  # no test fails on a time
hypothesis.settings.load_profile("patient")

# Mark -> why its tests cannot run here; an empty reason where they can.
CANNOT_RUN = {
    "realdata": ""
    if "TLSEARCH_TEST_DATA" in os.environ
    else "TLSEARCH_TEST_DATA names no folder of images and weights",
    "browser": ""
    if shutil.which("chromium") and shutil.which("chromedriver")
    else "no chromium with its chromedriver on this machine",
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, with the reason; fail where TLSEARCH_REQUIRE names its mark."""
    required = os.environ.get("TLSEARCH_REQUIRE", "").split(",")
    for mark, reason in CANNOT_RUN.items():
        if reason and item.get_closest_marker(mark):
            if mark in required:
                pytest.fail(f"{reason}, and TLSEARCH_REQUIRE asks for {mark}")
            pytest.skip(reason)
    if item.get_closest_marker("training"):
        from tlsearch.training.runtime import limit_threads

        limit_threads(1)  # before the process's first operation, whichever test that is


ImageFolder = Callable[[Mapping[str, int]], Path]


def write_picture(path: Path, seed: int, px: int = 8) -> None:
    """A picture of noise; equal seeds are equal pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (px, px, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def image_folder(tmp_path: Path) -> ImageFolder:
    """Write `{"cat": 3, "train/dog": 2}` as folders of distinct pictures 0.png, 1.png, ..."""

    def write(sizes: Mapping[str, int]) -> Path:
        root = tmp_path / "pictures"
        for place, (folder, count) in enumerate(sizes.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                write_picture(root / folder / f"{number}.png", seed=1000 * place + number)
        return root

    return write


@pytest.fixture
def picture() -> Callable[..., None]:
    """Write one picture of noise at a path; equal seeds are equal pixels."""
    return write_picture
