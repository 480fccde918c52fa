"""Laws of data and training on real photographs and real ImageNet weights."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from tlsearch.base.errors import ConfigError, DataError
from tlsearch.config.dataset import Data, Splits
from tlsearch.config.load import load, parse
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare

pytestmark = [pytest.mark.realdata]


@pytest.fixture(scope="module")
def root():
    return Path(os.environ["TLSEARCH_TEST_DATA"]) / "data"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_flowers_are_split_by_share_and_class(root, cache):
    data = prepare(Data(path=root / "flowers", image_px=32), cache)
    sizes = {split: len(rows) for split, rows in data.splits.items()}
    assert sum(sizes.values()) in range(3660, 3671)
    assert abs(sizes["test"] / 3670 - 0.15) < 0.02
    assert data.classes == ("daisy", "dandelion", "roses", "sunflowers", "tulips")


def test_duplicates_of_flowers_leave_train_and_never_test(root, cache, caplog):
    data = prepare(Data(path=root / "flowers", image_px=32), cache)
    kept = prepare(Data(path=root / "flowers", image_px=32, duplicates="keep"), cache)
    assert "dropped from train" in caplog.text
    assert len(data.splits["train"]) < len(kept.splits["train"])
    assert (data.splits["test"] == kept.splits["test"]).all()


def test_given_splits_are_kept(root, cache):
    data = prepare(Data(path=root / "rock_paper_scissors", image_px=32, duplicates="keep"), cache)
    sizes = {split: len(rows) for split, rows in data.splits.items()}
    assert sizes == {"train": 2520, "validation": 33, "test": 372}


def test_a_single_folder_is_split(root, cache):
    splits = Splits(train="rest", validation=200, test=300)
    data = prepare(Data(path=root / "potato_leaf", image_px=32, splits=splits), cache)
    assert len(data.splits["validation"]) == 200
    assert len(data.splits["test"]) == 300


def test_classes_that_differ_between_splits_are_named(root, cache):
    with pytest.raises(DataError, match="do not have the same classes: test has no"):
        prepare(Data(path=root / "chest_ct", image_px=32), cache)


def test_the_map_that_the_message_suggests_mends_chest_ct(root, cache, caplog):
    with pytest.raises(DataError) as refused:
        prepare(Data(path=root / "chest_ct", image_px=32), cache)
    snippet = "data:" + str(refused.value).partition("\ndata:")[2]
    config = parse(snippet, settings=[f"data.path={root / 'chest_ct'}", "data.image_px=32"])
    data = prepare(config.data, cache)
    expected = ("adenocarcinoma", "large.cell.carcinoma", "normal", "squamous.cell.carcinoma")
    assert data.classes == expected
    assert len(data.splits["test"]) == 315
    assert "train and test 48" in caplog.text  # equal in bytes, of whatever size


def test_pooling_an_animation_is_told_as_near_copies(root, cache, caplog):
    data = Data(path=root / "rock_paper_scissors", image_px=32, use=("train", "test"), pool=True)
    pooled = data.model_copy(update={"splits": Splits(validation=600, test=400)})
    sizes = [len(rows) for rows in prepare(pooled, cache).splits.values()]
    assert sorted(sizes) == [400, 600, 1892]
    assert "nearly the same picture in two splits" in caplog.text
    caplog.clear()
    prepare(data.model_copy(update={"use": None, "pool": False}), cache)
    assert caplog.text == ""


@pytest.mark.cluster
def test_weights_that_have_seen_cifar_are_refused_there(root, tmp_path, tmp_path_factory):
    from tlsearch.search.study import run

    folder = tmp_path_factory.mktemp("pictures")  # only the classes reveal CIFAR
    with tarfile.open(root / "cifar10_jpg.tar.xz") as archive:
        for number, member in enumerate(iter(archive.next, None)):
            if number % 40 == 0 and member.isfile():
                archive.extract(member, folder, filter="data")
    settings = [
        f"data.path={folder / 'cifar10'}",
        "data.image_px=32",
        "data.splits={train: 1000, validation: 200}",
        "space.backbone=[mobilenet_v2, photos]",
        f"cache={tmp_path}",
    ]
    printed = (
        "photos was pretrained on CIFAR-10, and this data is CIFAR-10; choose another backbone"
    )
    with pytest.raises(ConfigError, match=printed):
        run(load("cifar10", settings), tmp_path / "study")
    assert not (tmp_path / "study" / "study.yaml").exists()


def few(folder, to, every=8):
    """Link every nth file of a folder, in a folder of the same structure."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files[::every]:
        link = to / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return to


@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "classes", "splits"),
    [
        ("flowers", 5, {"validation": 0.2, "test": 0.2}),
        ("potato_leaf", 3, {"validation": 0.2, "test": 0.2}),
        ("chest_ct", 4, {}),
        ("rock_paper_scissors", 3, {"validation": 60, "test": 40}),
    ],
)
def test_the_tutorials_configuration_trains(root, tmp_path, name, classes, splits):
    from tlsearch.features import FeatureStore
    from tlsearch.training.trial import train

    folder = few(root / name, tmp_path / name, every=3 if name == "chest_ct" else 8)
    settings = [f"data.path={folder}", "data.image_px=64", f"data.splits={json.dumps(splits)}"]
    config = load(name, settings)
    data = prepare(config.data, tmp_path / "cache")
    assert len(data.classes) == classes
    shape = {"epochs": 1, "image_px": 64, "warm_up_epochs": 2, "weights": "none", "views": 1}
    augment = {"augment": config.augment, "metric": config.metric}
    trial = TrialConfig(**{**config.baselines[0], **shape, **augment})
    *_, last = train(trial, data, FeatureStore(tmp_path / "cache", "float16"))
    assert last.epoch == 1
    assert not last.diverged


IMAGENET = {
    "mobilenet_v2_035": "keras_home/models/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
    "mobilenet_050": "keras_home/models/mobilenet_5_0_160_tf_no_top.h5",
    "mobilenet_v3_small": "weights/mobilenet_v3_small_1.0_224_dequant_no_top.h5",
    "mobilenet_v3_minimalistic": "weights/"
    "mobilenet_v3_large_minimalistic_1.0_224_dequant_no_top.h5",
}


@pytest.fixture(scope="module")
def some_flowers(root, cache, tmp_path_factory):
    """Return every seventh of the flowers at a small size."""
    folder = few(root / "flowers", tmp_path_factory.mktemp("flowers"), every=7)
    splits = Splits(train=300, validation=150, test="rest")
    return prepare(Data(path=folder, image_px=160, splits=splits, duplicates="keep"), cache)


@pytest.mark.training
@pytest.mark.parametrize("backbone", IMAGENET)
def test_a_head_on_imagenet_features_knows_flowers(root, cache, some_flowers, backbone):
    from tlsearch.features import FeatureStore
    from tlsearch.training.trial import train

    trial = TrialConfig(
        backbone=backbone,
        weights=str(root.parent / IMAGENET[backbone]),
        image_px=160,
        head_lr=1e-3,
        epochs=2,
        warm_up_epochs=8,
        warm_up_lr=1e-3,
    )
    *_, last = train(trial, some_flowers, FeatureStore(cache, "float16"))
    assert last.value > 0.6  # about 0.2 by chance, 0.35 with random weights
