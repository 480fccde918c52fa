"""A user's own networks: imported, trained, exported; and errors in those that cannot be used."""

import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tlsearch.base.errors import ConfigError
from tlsearch.bundle.evaluate import evaluate
from tlsearch.bundle.export_request import ExportRequest
from tlsearch.bundle.predict import predict_files
from tlsearch.config.dataset import Data, Splits
from tlsearch.config.load import parse
from tlsearch.config.networks.anatomy import ANATOMIES
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.own import ImportRequest
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.features import FeatureStore
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.export.exporter import export_bundle
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.network.cut_costs import cut_costs
from tlsearch.training.network.own_network import import_network
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

NETWORKS = """
    import keras
    from keras import layers

    SMALL = {"include_top": False, "weights": None, "input_shape": (32, 32, 3)}

    def convolutions():
        x = inputs = keras.Input((None, None, 3))
        for width in (8, 16, 32):
            y = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
            y = layers.ReLU()(layers.BatchNormalization()(y))
            z = layers.Conv2D(width, 3, padding="same")(y)
            x = layers.SpatialDropout2D(0.1)(layers.Add()([y, z]) if width == 16 else y + z)
        return keras.Model(inputs, x)

    def on(last, shape=(32, 32, 3)):
        inputs = keras.Input(shape)
        return keras.Model(inputs, last(inputs))

    def nested():
        body = convolutions()
        body.trainable = False
        inner = keras.Sequential([body, layers.Conv2D(24, 1), layers.GlobalAveragePooling2D()])
        return keras.Sequential([keras.Input((32, 32, 3)), inner, layers.Dense(12, "relu")])

    def known():
        return keras.applications.MobileNet(
            include_top=False, weights=None, alpha=0.25, input_shape=(32, 32, 3)
        )

    def resnet():
        from keras.src.applications.resnet import ResNet, stack_residual_blocks_v1

        def stack(x):
            return stack_residual_blocks_v1(x, 4, 2, name="conv2")

        return ResNet(stack, False, True, **SMALL)

    def efficientnet():
        from keras.src.applications.efficientnet import DEFAULT_BLOCKS_ARGS, EfficientNet

        return EfficientNet(0.3, 0.5, 32, blocks_args=DEFAULT_BLOCKS_ARGS[:2], **SMALL)

    def convnext():
        from keras.src.applications.convnext import ConvNeXt

        return ConvNeXt([1, 1, 1, 2], [8, 8, 8, 16], layer_scale_init_value=0.5, **SMALL)

    def head():
        pool = layers.GlobalAveragePooling2D()
        return keras.Sequential([convolutions(), pool, layers.Dense(9, "softmax")])

    def grey():
        return on(layers.Conv2D(3, 3), (32, 32, 1))

    def oblong():
        return on(layers.Conv2D(3, 3), (32, 48, 3))

    def two():
        inputs = keras.Input((32, 32, 3))
        return keras.Model(inputs, [layers.ReLU()(inputs), inputs])

    def flat():
        return on(layers.Reshape((1024, 3)))

    def code():
        return on(layers.Lambda(lambda x: x))

    class Mine(layers.Layer):
        def call(self, x):
            return x

    def mine():
        return on(Mine())

    class Subclass(keras.Model):
        def call(self, x):
            return x

    def no_model():
        return [1]

    def argument(size):
        return size
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write a module of networks in a folder, which is also the home folder."""
    (tmp_path / "my_networks.py").write_text(textwrap.dedent(NETWORKS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_networks", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return tmp_path


def of_function(folder, name, preprocess="none"):
    return import_network(ImportRequest(f"my_networks:{name}", preprocess, str(folder), None))


def of_file(folder, name, preprocess="none"):
    from my_networks import __dict__ as known

    source = folder / f"{name}.keras"
    known[name]().save(source)
    return import_network(ImportRequest(str(source), preprocess, str(folder / "in"), "taken.keras"))


@pytest.mark.parametrize(
    ("name", "unfrozen"),
    [("convolutions", 0), ("nested", 6), ("resnet", 12), ("efficientnet", 20), ("convnext", 9)],
)
def test_a_cached_trial_of_an_own_network_is_the_uncached_one(
    name, unfrozen, folder, small_trial, digits, store, cache, outcomes
):
    trial = small_trial(unfrozen, backbone=str(of_file(folder, name, "tf")), epochs=2)
    off = FeatureStore(cache, "float32", budget_bytes=0)
    cached, uncached = (outcomes(train(trial, digits, kept)) for kept in (store, off))
    np.testing.assert_allclose(cached, uncached, atol=1e-3)


def test_an_exported_own_network_is_the_trained_one(folder, small_trial, digits, store):
    path = of_function(folder, "convolutions", "torch")
    assert path.name.endswith("-torch.keras")
    trial = small_trial("all", backbone=str(path), epochs=1, dropout=0.0)
    *_, last = train(trial, digits, store)
    last.snapshot().save(folder / "best.npz", weights_only=True)
    source = Data(kind="digits", image_px=32, splits=Splits(train=60, validation=70, test=80))
    forms = ("keras", "litert")
    request = ExportRequest(folder / "best.npz", digits, source, forms, folder / "bundle", {})
    manifest = export_bundle(request).manifest
    assert manifest.backbone == path.name
    card = (folder / "bundle" / "model_card.md").read_text()
    assert (path.name in card, str(path) in card) == (True, False)
    assert "used to choose this model. This model has no test score. Pretrained weights: " in card
    assert manifest.network == load_checkpoint(folder / "best.npz").network
    assert [artifact.parity < 1e-4 for artifact in manifest.artifacts] == [True, True]
    path.unlink()  # the bundle alone is enough from here on
    for place, label in enumerate(digits.classes[:2]):
        (folder / "pictures" / label).mkdir(parents=True)
        picture = Image.fromarray(np.full((40, 50, 3), 80 * place, np.uint8))
        picture.save(folder / "pictures" / label / "one.png")
    keras_file, litert = (evaluate(folder / "bundle", folder / "pictures", one) for one in forms)
    assert (keras_file.images, keras_file.confusion) == (2, litert.confusion)
    predictions = [*predict_files(folder / "bundle", folder / "pictures", top=1)]
    assert sum(one.ranking[0][0] == one.path.parent.name for one in predictions) == sum(
        keras_file.confusion[place][place] for place in (0, 1)
    )


def test_a_network_that_is_taken_in_computes_what_it_computed(folder):
    path = of_file(folder, "nested")
    given = keras.models.load_model(folder / "nested.keras")
    taken = load_backbone(str(path), "default", 32)
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    found = taken.sections(Depth(0)).prefix(images, training=False)
    np.testing.assert_allclose(found, given(images, training=False), rtol=1e-5)
    assert not [layer for layer in taken.model.layers if isinstance(layer, keras.Model)]
    assert taken.row.parameters == given.count_params()
    assert load_backbone(str(path), "none", 32).digest != taken.digest


def test_a_network_of_known_layers_has_their_blocks(folder):
    row = row_of(str(of_file(folder, "known")))
    assert row.anatomy == ANATOMIES["MobileNet"]
    assert (row.min_px, row.max_px, row.parameters) == (32, 32, 218_544)
    other = row_of(str(of_file(folder, "convolutions")))
    assert other.max_px is None
    assert [cut.share for cut in cut_costs(other)] == sorted(cut.share for cut in cut_costs(other))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("head", r"ends in a head, dense\w* \(Dense\): expected a network without its head"),
        ("grey", r"takes \[\(None, 32, 32, 1\)\], expected one input \(n, height, width, 3\)"),
        ("oblong", r"takes \(None, 32, 48, 3\), expected squares"),
        ("two", r"gives \[.*\], expected a network without its head"),
        ("flat", r"gives \[\(None, 1024, 3\)\], expected .* feature maps"),
        ("code", r"holds keras\.layers\.Lambda, expected only Keras layers that tlsearch can"),
        ("mine", r"holds my_networks\.Mine, expected only Keras layers that tlsearch can"),
        ("Subclass", r"found a model without a graph of layers, expected a Functional"),
        ("no_model", r"found a list, expected a keras\.Model"),
        ("argument", r"called without arguments, it raised TypeError: .*'size'"),
        ("nestd", r"no nestd in my_networks, did you mean 'nested'\?"),
    ],
)
def test_a_function_that_gives_no_such_network_is_told_in_a_line(name, says, folder):
    with pytest.raises(ConfigError, match=says) as caught:
        of_function(folder, name)
    assert len(caught.value.problems) == 1


def test_a_module_that_is_not_there_or_fails_is_named(folder):
    (folder / "failing.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match=r"no module nowhere in .* or among the installed"):
        import_network(ImportRequest("nowhere:network", "none", str(folder), None))
    with pytest.raises(ConfigError, match=r"imported \(ZeroDivisionError: division"):
        import_network(ImportRequest("failing:network", "none", str(folder), None))


def test_a_file_that_runs_code_is_not_loaded(folder):
    with pytest.raises(ConfigError, match=r"^holds keras\.layers\.Lambda"):
        of_file(folder, "code")
    (folder / "text.keras").write_text("no zip")
    with pytest.raises(ConfigError, match=r"be loaded as keras \(File is not a zip file"):
        import_network(
            ImportRequest(str(folder / "text.keras"), "none", str(folder), "text-in.keras")
        )


SPACE = """
data: {kind: digits, image_px: 32}
space: {backbone: ["my_networks:convolutions#tf", %s], unfrozen_layers: [0, 5]}
"""


def test_a_search_space_names_a_function_and_a_clean_process_takes_it_in(folder):
    config = parse(SPACE % "strokes")
    name, other = config.space.backbone.values
    assert Path(name).parent == folder / ".cache/tlsearch/networks"
    assert (row_of(name).preprocess, other) == ("tf", "strokes")
