import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from tlsearch.base.errors import WeightsError
from tlsearch.bundle.self_contained import require_known_classes
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.training.network.backbone import load_backbone, outline
from tlsearch.training.network.cut import cut_points, trainable_layers
from tlsearch.training.network.multiply_adds import forward_multiply_adds
from tlsearch.training.network.own_network import letters
from tlsearch.training.network.preprocessing import preprocessing

pytestmark = pytest.mark.training

ROWS = [row for row in BACKBONES.values() if row.spec is None]

# Keras' automatic name of a layer: its kind, and a number from the second layer on.
_KERAS_OWN_NAME = (
    r"(input_layer|conv2d|depthwise_conv2d|separable_conv2d|batch_normalization|normalization"
    r"|layer_normalization|custom_scale_layer|layer_scale|activation|re_lu|add|multiply"
    r"|concatenate|rescaling|reshape|dropout"
    r"|(global_)?(average|max)_pooling2d)(_\d+)?"
)


@pytest.fixture(scope="module", params=ROWS, ids=[row.name for row in ROWS])
def row(request):
    return request.param


@pytest.fixture(scope="module")
def model(row):
    """Build a row's network once for all tests, which takes a second; it is never run."""
    return outline(row, row.image_px)


def test_the_row_tells_the_number_of_layers(row, model):
    assert len(model.layers) == row.layers


def test_the_row_tells_what_each_layer_is_and_where_the_network_can_be_cut(row, model):
    assert letters(model) == row.anatomy.letters


def is_layer(operation):
    return isinstance(operation, keras.layers.Layer)


# The name prefix of a block's layers, or the layer that ends a block; a DenseNet's dense block is a
# stage of many.
# stage of many.
BLOCK_NAMES = {
    "mobilenet_v2": r"(expanded_conv|block_\d+)_",
    "mobilenet_v3": r"(expanded_conv(?:_\d+)?)_",
    "mobilenet": r"conv_(?:pad|dw|pw)_(\d+)",
    "efficientnet": r"(block\d[a-z])_",
    "efficientnet_v2": r"(block\d[a-z])_",
    "resnet": r"(conv\d_block\d+)_",
    "resnet_v2": r"(conv\d_block\d+)_",
    "convnext": r"(convnext_\w+_stage_\d_block_\d+)_",
    "densenet": r"(conv\d)_block\d+_",
    "vgg": r"(block\d)_",
    "xception": r"(block\d+)_",
}
INCEPTION_BLOCK = r"mixed(\d+|_\d[ab])|block\d+_\d+_ac|conv_7b_ac"


def test_blocks_begin_where_keras_names_them(row, model):
    names = [layer.name for layer in model.layers]
    layers = row.anatomy.block_layers[1:]
    begins = [row.layers - count for count in reversed(layers)]
    if row.family.startswith("inception"):
        ends = [place for place, name in enumerate(names) if re.fullmatch(INCEPTION_BLOCK, name)]
        assert begins[1:] == [place + 1 for place in ends[:-1]]
        assert len(ends) == len(begins)
    else:
        first = {}
        for place, name in enumerate(names):
            if found := re.match(BLOCK_NAMES[row.family], name):
                first.setdefault(found[1], place)
        assert begins == list(first.values())


@pytest.mark.parametrize("batch_norm", [False, True])
def test_depths_are_alike_exactly_where_they_train_the_same(row, model, batch_norm):
    trains = what_trains(model, batch_norm)
    deepest = row.layers - 2  # see Anatomy.simplest
    for unfrozen in range(1, deepest):
        one, other = trains(unfrozen), trains(unfrozen + 1)
        depths = Depth(unfrozen), Depth(unfrozen + 1)
        found = [row.anatomy.simplest(depth, depth, batch_norm) for depth in depths]
        assert (found[0] == found[1]) == (one == other), unfrozen
        assert bool(one[1]) == (unfrozen >= row.anatomy.least(batch_norm))
    assert trains(row.layers) == trains(10_000) == trains("all")
    every, word = Depth(row.layers), Depth("all")
    assert row.anatomy.simplest(every, every) == row.anatomy.simplest(word, word)


def what_trains(model, batch_norm):
    """Return a function from a depth to its cut, trained layers and active dropouts.

    Of two depths, the deeper one has all that the other has.
    """
    cuts, dropout = [cut.index for cut in cut_points(model)], keras.layers.Dropout
    spared = () if batch_norm else (keras.layers.BatchNormalization,)
    trains = [bool(x.trainable_variables) and not isinstance(x, spared) for x in model.layers]
    drops = [isinstance(layer, dropout) for layer in model.layers]

    def of(unfrozen):
        first = len(trains) - len(trainable_layers(model, Depth(unfrozen)))
        cut = max(index for index in cuts if index < max(first, 1))
        return cut, sum(trains[first:]), sum(drops[first:])

    return of


def test_the_row_tells_what_the_network_costs(row, model):
    assert forward_multiply_adds(model.layers) == row.multiply_adds
    assert model.count_params() == row.parameters


def test_an_outline_is_the_network_that_is_loaded():
    row = BACKBONES["convnext_tiny"]
    bare, loaded = outline(row, 32), load_backbone(row.name, "none", 32).model
    assert [layer.name for layer in bare.layers] == [layer.name for layer in loaded.layers]
    assert [cut.name for cut in cut_points(bare)] == [cut.name for cut in cut_points(loaded)]
    assert forward_multiply_adds(bare.layers) == forward_multiply_adds(loaded.layers)


def test_no_layer_is_named_by_how_many_this_process_made_before(model):
    names = [layer.name for layer in model.layers]
    numbered = [name for name in names if re.fullmatch(_KERAS_OWN_NAME, name)]
    assert not numbered
    assert names[0] == "input_layer_at_0"
    assert len(set(names)) == len(names)


def test_a_file_may_hold_every_kind_of_its_layers(model):
    require_known_classes(Path("model.keras"), keras.saving.serialize_keras_object(model))


def test_it_has_cut_points_from_input_to_output(row, model):
    cuts = cut_points(model)
    assert cuts[0].whole
    assert cuts[0].index == 0
    assert cuts[-1].index == row.layers - 1
    behind = [operation.name for operation in model.operations]
    places = [behind.index(cut.name) for cut in cuts]
    assert places == sorted(places)
    assert [is_layer(o) for o in model.operations].count(True) == row.layers
    for cut, place in zip(cuts, places, strict=True):
        assert sum(map(is_layer, model.operations[: place + 1])) == cut.index + 1
    assert len(cuts) > 10


def test_keras_refuses_a_size_below_the_least(row):
    with pytest.raises(ValueError, match=str(row.min_px)):
        load_backbone(row.name, "none", row.min_px - 1)


def test_our_preprocessing_is_that_of_keras(row):
    module, function = row.reference.split(":")
    reference = getattr(importlib.import_module(module), function)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    ours = preprocessing(row.preprocess, 8)(images)
    np.testing.assert_allclose(ours, reference(images.copy()), atol=1e-4)


def test_the_pooled_vector_is_that_of_keras_own_pooling():
    """ConvNeXt's last normalisation comes after the pooling, which its feature maps do not show."""
    ours = load_backbone("convnext_tiny", "none", 64)
    theirs = keras.applications.ConvNeXtTiny(
        include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg"
    )
    shapes = [variable.shape for variable in theirs.weights]
    arrays = zip(ours.model.get_weights(), shapes, strict=True)
    theirs.set_weights([array.reshape(shape) for array, shape in arrays])
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found = ours.sections(Depth(0)).prefix(images, training=False)
    np.testing.assert_allclose(found, theirs(images, training=False), atol=1e-5)


def test_torch_preprocessing_is_that_of_keras():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    theirs = keras.applications.densenet.preprocess_input(images.copy())
    np.testing.assert_allclose(preprocessing("torch", 8)(images), theirs, atol=1e-4)


@pytest.mark.parametrize("name", ["inception_v3", "mobilenet_v3_small", "xception"])
def test_a_network_built_again_has_the_same_names(name):
    small, large = (load_backbone(name, "none", px) for px in (80, 96))
    assert [c.name for c in cut_points(small.model)] == [c.name for c in cut_points(large.model)]
    names = [[layer.name for layer in b.model.layers] for b in (small, large)]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_v2_b0", "densenet121"])
def test_weights_read_from_a_file_are_known_again(name, tmp_path):
    """This also holds for a network with seeds, which Keras draws anew for each network."""
    file = tmp_path / "same.weights.h5"
    load_backbone(name, "none", 32).model.save_weights(file)
    first = load_backbone(name, str(file), 32).digest
    load_backbone.cache_clear()
    keras.utils.set_random_seed(17)
    assert load_backbone(name, str(file), 32).digest == first


def test_reset_undoes_what_a_trial_did():
    backbone = load_backbone("mobilenet_v2_035", "none", 32)
    layer = backbone.model.layers[-3]
    backbone.allow_changes([layer])
    layer.trainable = True
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    backbone.reset()
    assert not backbone.model.trainable_variables
    for variable in backbone.model.variables:
        np.testing.assert_array_equal(variable.numpy(), backbone.pristine[id(variable)])


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.shipped])
def test_shipped_weights_load_at_any_size(name):
    small, large = (load_backbone(name, "default", px) for px in (32, 64))
    assert small.digest == large.digest
    assert small.digest != load_backbone(name, "none", 32).digest


def test_a_missing_weight_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.h5: no such weight file"):
        load_backbone("mobilenet_v2_035", str(tmp_path / "nothing.h5"), 32)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_a_weight_file_of_something_else_is_named(tmp_path):
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(WeightsError, match=r"other\.weights\.h5: does not hold weights of"):
        load_backbone("mobilenet_v2_035", str(other), 32)


def test_weights_that_cannot_be_downloaded_name_the_ways_on(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications.mobilenet_v2, "MobileNetV2", no_network)
    load_backbone.cache_clear()
    with pytest.raises(WeightsError, match=r"no network.*KERAS_HOME, or use a shipped backbone"):
        load_backbone("mobilenet_v2_050", "imagenet", 32)
