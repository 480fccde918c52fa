import keras
import pytest

from tlsearch.training.epoch.executor import Executor
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.network.multiply_adds import multiply_adds, trained_share

pytestmark = pytest.mark.training


def test_multiply_adds_of_small_layers():
    inputs = keras.Input((10, 8, 3))
    conv = keras.layers.Conv2D(4, 3, strides=2, padding="same")
    depthwise = keras.layers.DepthwiseConv2D(5, padding="same")
    dense = keras.layers.Dense(7)
    dense(keras.layers.Flatten()(depthwise(conv(inputs))))
    assert multiply_adds(conv) == 5 * 4 * 3 * 3 * 3 * 4
    assert multiply_adds(depthwise) == 5 * 4 * 5 * 5 * 4
    assert multiply_adds(dense) == 5 * 4 * 4 * 7
    assert multiply_adds(keras.layers.ReLU()) == 0


def test_a_separable_convolution_costs_what_its_two_halves_cost():
    inputs = keras.Input((9, 9, 6))
    both = keras.layers.SeparableConv2D(4, 3, strides=2, padding="same")
    depthwise = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")
    pointwise = keras.layers.Conv2D(4, 1)
    both(inputs), pointwise(depthwise(inputs))
    assert multiply_adds(both) == multiply_adds(depthwise) + multiply_adds(pointwise)


def test_a_grouped_convolution_costs_its_share():
    inputs = keras.Input((9, 9, 6))
    whole, grouped = (keras.layers.Conv2D(4, 3, groups=groups) for groups in (1, 2))
    whole(inputs), grouped(inputs)
    assert multiply_adds(whole) == 2 * multiply_adds(grouped)


def test_mobilenet_v2_costs_what_its_paper_says():
    model = load_backbone("mobilenet_v2", "none", 224).model
    assert sum(map(multiply_adds, model.layers)) == pytest.approx(300e6, rel=0.02)


def test_the_trained_share_grows_from_the_head_to_everything(small_trial):
    shares = []
    for unfrozen in (0, 15, 60, "all"):
        network = Executor().network(small_trial(unfrozen), 10)
        shares.append(trained_share(network.backbone.model.layers, network.head.model.layers))
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.05
    assert shares[-1] == 1.0
