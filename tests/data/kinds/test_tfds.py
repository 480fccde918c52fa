"""TFDS data sets: real builders that write their records to disk, without a network."""

import numpy as np
import pytest

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import Data, Splits
from tlsearch.data.decode import read_pixels, resize
from tlsearch.data.kinds.tfds import list_tfds
from tlsearch.data.listing import SPLITS
from tlsearch.data.sources import original_pictures, prepare

pytestmark = pytest.mark.training  # TFDS imports TensorFlow

LABELS = ["cat", "dog"]


def picture(part, number, channels):
    rng = np.random.default_rng([len(part), number])
    return rng.integers(0, 256, (5 + number, 7, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def builder_class():
    import tensorflow_datasets as tfds

    class Pets(tfds.core.GeneratorBasedBuilder):
        """Six images of several sizes in each part."""

        VERSION = tfds.core.Version("1.0.0")
        parts = ("train", "test")
        channels = 3
        dtype = np.uint8

        def _info(self):
            shape = (None, None, self.channels)
            image = tfds.features.Image(shape=shape, dtype=self.dtype, encoding_format="png")
            label = tfds.features.ClassLabel(names=LABELS)
            features = tfds.features.FeaturesDict({"image": image, "label": label})
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, dl_manager):
            return {part: self._generate_examples(part) for part in self.parts}

        def _generate_examples(self, part):
            for number in range(6):
                image = picture(part, number, self.channels).astype(self.dtype)
                yield number, {"image": image, "label": LABELS[number % 2]}

    return Pets


@pytest.fixture
def found(builder_class, tmp_path, monkeypatch):
    """Let TFDS find the builder with these attributes under any name."""
    import tensorflow_datasets as tfds

    def use(build=True, **attributes):
        for name, value in attributes.items():
            monkeypatch.setattr(builder_class, name, value)
        if build:
            builder_class(data_dir=tmp_path).download_and_prepare()
        monkeypatch.setattr(tfds, "builder", lambda name: builder_class(data_dir=tmp_path))

    return use


@pytest.mark.parametrize(
    ("parts", "splits"),
    [(("train", "test"), {"train", "test"}), (("train",), {None})],
)
def test_a_set_is_listed_with_its_classes_and_splits(found, parts, splits):
    found(parts=parts)
    listing = list_tfds("pets")
    assert listing.classes == ("cat", "dog")
    assert len(listing.examples) == 6 * len(parts)
    assert {example.split for example in listing.examples} == splits
    assert len({example.key for example in listing.examples}) == len(listing.examples)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_come_in_the_order_of_the_examples(found, channels):
    found(channels=channels)
    listing = list_tfds("pets")
    for part in ("train", "test"):
        expected = [np.broadcast_to(p, (*p.shape[:2], 3)) for p in all_of(part, channels)]
        pairs = zip(listing.examples, listing.pictures(), strict=True)
        got = {p.shape[0] - 5: (e, p) for e, p in pairs if e.key.startswith(part)}
        for number, pixels in enumerate(expected):
            example, pixels_got = got[number]
            np.testing.assert_array_equal(pixels_got, pixels)
            assert listing.classes[example.label] == LABELS[number % 2]


def test_the_original_pictures_are_those_that_were_decoded(found, tmp_path):
    found(parts=("train",))
    data = Data(kind="tfds", name="pets", image_px=8, splits=Splits(validation=2, test=2))
    ready = prepare(data, tmp_path / "cache")
    files = original_pictures(data, ready.splits["validation"], tmp_path / "originals")
    squares = np.stack([resize(read_pixels(file), 8) for file in files])
    np.testing.assert_array_equal(squares, ready.images("validation")[:])


def test_pooled_parts_are_split_by_count(found, tmp_path):
    found()
    data = Data(kind="tfds", name="pets", image_px=8, pool=True, use=["train", "test"])
    ready = prepare(data.model_copy(update={"splits": Splits(validation=4, test=2)}), tmp_path)
    assert [len(ready.splits[split]) for split in SPLITS] == [6, 4, 2]


def all_of(part, channels):
    return [picture(part, number, channels) for number in range(6)]


def test_what_is_missing_is_named_with_the_command_that_fetches_it(found):
    found(build=False)
    with pytest.raises(DataError, match=r"tf_flowers: not on this.*`tfds build tf_flowers`"):
        list_tfds("tf_flowers")


def test_an_unknown_name_is_an_error_of_data():
    with pytest.raises(DataError, match="tfds no_such_set"):
        list_tfds("no_such_set")


def test_a_set_without_labels_is_refused(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    builder = tfds.testing.DummyDataset(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    with pytest.raises(DataError, match="expected the features image and label"):
        list_tfds("dummy")


def test_pixels_of_sixteen_bits_are_scaled_by_their_range(found, tmp_path):
    found(dtype=np.uint16, channels=1)
    data = Data(kind="tfds", name="pets", image_px=8, splits=Splits(validation=4))
    ready = prepare(data, tmp_path / "cache")
    assert ready.bits == {0: 8}
    files = original_pictures(data, ready.splits["validation"], tmp_path / "files", ready.bits)
    squares = np.stack([resize(read_pixels(file), 8) for file in files])
    np.testing.assert_array_equal(squares, ready.images("validation")[:])
    assert squares.max() > 128


def test_pixels_without_a_known_range_are_refused(found):
    found(dtype=np.float32, channels=1)
    with pytest.raises(DataError, match="expected pixels of uint8 or uint16, found float32"):
        list_tfds("pets")
