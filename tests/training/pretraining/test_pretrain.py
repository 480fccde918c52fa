"""A pretraining of seconds behaves like a long one."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from tlsearch.base.errors import ConfigError, DataError
from tlsearch.training.pretraining import pretrain as module
from tlsearch.training.pretraining.pretrain import (
    PretrainEpoch,
    augment,
    build_backbone,
    check_source,
    pretrain,
    split_held_out,
)
from tlsearch.training.pretraining.strokes import draw_strokes

pytestmark = pytest.mark.training


def fresh_backbone(image_px: int, weights: str | None = None) -> keras.Model:
    return keras.applications.MobileNetV2(
        input_shape=(image_px, image_px, 3), alpha=0.35, include_top=False, weights=weights
    )


@dataclass(frozen=True)
class Run:
    """A finished pretraining: its file, its reports, and the files that existed at each report."""

    out: Path
    reports: list[PretrainEpoch]
    files_seen: list[list[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("pretrained")
    images, labels = draw_strokes(4, 10, 32, seed=0)  # fewer than a batch
    run = Run(folder / "tiny.weights.h5", [], [])
    for report in pretrain(images, labels, epochs=2, seed=0, out=run.out):
        run.reports.append(report)
        run.files_seen.append([path.name for path in folder.iterdir()])
    return run


def test_reports_are_finite_and_counted(run: Run) -> None:
    assert [report.epoch for report in run.reports] == [1, 2]
    assert all(np.isfinite(report.loss) and 0 <= report.accuracy <= 1 for report in run.reports)


def test_weights_are_there_at_the_last_report_and_nothing_before(run: Run) -> None:
    assert run.files_seen == [[], [run.out.name]]


@pytest.mark.parametrize("image_px", [32, 48])
def test_weights_load_into_mobilenet_v2_at_any_size(run: Run, image_px: int) -> None:
    by_argument, by_call = fresh_backbone(image_px, weights=str(run.out)), fresh_backbone(image_px)
    before = [value.copy() for value in by_call.get_weights()]
    by_call.load_weights(run.out)
    moved = [not np.array_equal(a, b) for a, b in zip(before, by_call.get_weights(), strict=True)]
    assert all(moved)  # including BatchNorm statistics
    for one, other in zip(by_argument.get_weights(), by_call.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_full_disk_leaves_the_older_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "older.weights.h5"
    out.write_bytes(b"older")
    backbone = build_backbone(32, 0.35)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        module.save_whole(backbone, out)
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == b"older"


def test_batch_norm_statistics_follow_a_short_training() -> None:
    norms = [
        layer
        for layer in build_backbone(32, 0.35).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert norms
    assert {layer.momentum for layer in norms} == {0.9}


def test_no_image_is_both_held_out_and_trained_on() -> None:
    held_out, train = split_held_out(100, np.random.default_rng(0))
    assert sorted([*held_out, *train]) == list(range(100))
    assert len(held_out) == 5


def test_augmentation_keeps_form_and_mirrors_only_where_told() -> None:
    images = np.zeros((8, 36, 36, 3), np.uint8)
    images[:, :, :18] = 200  # bright on the left; a shift of 3 px keeps it there
    kept = augment(images, False, np.random.default_rng(0))
    assert (kept.shape, kept.dtype) == (images.shape, images.dtype)
    assert (kept[:, :, 0] == 200).all()
    left = augment(images, True, np.random.default_rng(0))[:, 0, 0, 0]
    assert set(left.tolist()) == {0, 200}


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((40, 32, 32, 3)), np.arange(40), "expected uint8"),
        (np.zeros((40, 32, 32, 1), np.uint8), np.arange(40), "expected uint8"),
        (np.zeros((40, 32, 48, 3), np.uint8), np.arange(40), "found 32 x 48 px"),
        (np.zeros((40, 16, 16, 3), np.uint8), np.arange(40), "at least 32 px"),
        (np.zeros((40, 32, 32, 3), np.uint8), np.zeros(40, int), r"found \[0\], expected two"),
        (np.zeros((2, 32, 32, 3), np.uint8), np.array([-1, 1]), "from 0"),
        (np.zeros((40, 32, 32, 3), np.uint8), np.arange(39), "one for each image"),
        (np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, int), r"found \[\], expected two"),
    ],
)
def test_a_source_that_cannot_be_trained_on_is_refused(
    images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_source(images, labels)


def test_a_name_that_keras_cannot_write_is_refused(tmp_path: Path) -> None:
    images, labels = draw_strokes(2, 10, 32, seed=0)
    epochs = pretrain(images, labels, epochs=1, batch_size=8, seed=0, out=tmp_path / "tiny.h5")
    with pytest.raises(ConfigError, match=r"found no \.weights\.h5"):
        next(epochs)
