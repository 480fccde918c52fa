"""The template that `init` proposes for the splits and pictures it finds."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tlsearch.config.load import parse
from tlsearch.data.image_size import proposed_px
from tlsearch.data.sources import list_source
from tlsearch.data.splits import assign
from tlsearch.results.rank.interval import wilson
from tlsearch.search.template import small_splits, template

ImageFolder = Callable[[dict[str, int]], Path]


def folders(**splits: int) -> dict[str, int]:
    return {f"{split}/{name}": count for split, count in splits.items() for name in ("cat", "dog")}


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"train": 30, "valid": 6}, "  splits: {test: 0.15}  # cut from train; train, validation"),
        ({"Training": 30, "val": 6}, "  splits: {test: 0.15}  # cut from train; train, validation"),
        ({"train": 30, "test": 6}, "  splits: {validation: 0.15}  # cut from train; train, test"),
        ({"train": 30, "validation": 6, "test": 6}, None),
        ({}, "  splits: {validation: 0.15, test: 0.15}\n"),
    ],
)
def test_only_a_split_that_is_not_there_gets_a_share(
    image_folder: ImageFolder, given: dict[str, int], asked: str | None
) -> None:
    text = template(image_folder(folders(**given) or {"cat": 30, "dog": 30}))
    assert ("splits:" in text) == (asked is not None)
    assert asked is None or asked in text
    data = parse(text).data
    listing = list_source(data)
    rows = assign(listing.examples, data.splits, listing.classes)
    if "val" in given or "valid" in given:
        assert len(rows["validation"]) == 12  # only those of the folder


def test_few_pictures_of_a_split_are_warned_of_with_the_width_of_the_interval(
    image_folder: ImageFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        template(str(image_folder(folders(train=60, valid=50, test=8))))
    (warning,) = caplog.messages
    low, high = wilson(0.9, 16)
    assert warning.startswith("the test split has 16 pictures: the 95 % interval (Wilson)")
    assert f"{high - low:.2f} wide" in warning
    assert small_splits({"train": 5, "validation": 100, "test": 100}) == []
    assert len(small_splits({"train": 500, "validation": 99, "test": 1})) == 2


@pytest.mark.parametrize(("px", "proposed"), [(32, 64), (100, 128), (224, 224), (3000, 224)])
def test_squares_follow_the_size_of_the_pictures(
    tmp_path: Path, picture: Callable[..., None], px: int, proposed: int
) -> None:
    assert proposed_px([(px, px // 2), (px, px), (9000, 10)]) == proposed
    for place in range(3):
        for name in ("cat", "dog"):
            picture(tmp_path / name / f"{place}.png", seed=place, px=min(px, 300))
    (tmp_path / "cat/broken.png").write_bytes(b"no picture")
    text = template(tmp_path)
    assert parse(text).data.image_px == proposed
    assert f"the median picture of a sample of 6 is {min(px, 300)} x {min(px, 300)}" in text
