import numpy as np
import pytest

from tlsearch.config.catalog import BACKBONES
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.training.network.backbone import load_backbone, outline
from tlsearch.training.network.cut import choose_cut, trainable_layers
from tlsearch.training.network.cut_costs import cut_costs

pytestmark = pytest.mark.training

DEPTHS = [Depth(layers) for layers in (1, 2, 7, 15, 40, 90, 10_000, "all")]

# Their branches join by addition, multiplication, and concatenation of two and of four tensors.
NETWORKS = (
    "mobilenet_v2_035",
    "efficientnet_b0",
    "resnet50",
    "mobilenet_v3_small",
    "densenet121",
    "inception_v3",
    "convnext_tiny",
)


@pytest.fixture(scope="module", params=NETWORKS)
def backbone(request):
    return load_backbone(request.param, "none", BACKBONES[request.param].min_px)


def test_the_last_feature_map_of_the_smallest_images_has_one_place(backbone):
    one = backbone.row.min_px <= backbone.row.single_px
    assert (tuple(backbone.model.output.shape[1:3]) == (1, 1)) == one


@pytest.mark.parametrize(
    ("name", "px", "places"),
    [
        ("mobilenet_v2_035", 33, 2),
        ("resnet50", 33, 2),
        ("inception_v3", 106, 1),
        ("inception_v3", 107, 2),
        ("xception", 71, 3),
        ("convnext_tiny", 63, 1),
        ("convnext_tiny", 64, 2),
        ("vgg16", 63, 1),
        ("vgg16", 64, 2),
    ],
)
def test_the_last_feature_map_has_one_place_up_to_a_size(name, px, places):
    assert outline(BACKBONES[name], px).output.shape[1] == places
    assert (px <= BACKBONES[name].single_px) == (places == 1)


@pytest.mark.parametrize("depth", DEPTHS)
def test_prefix_then_suffix_is_the_whole_network(backbone, depth):
    shape = (2, *backbone.model.input_shape[1:])
    images = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    sections = backbone.sections(depth)
    joined = sections.suffix(sections.prefix(images, training=False), training=False)
    np.testing.assert_allclose(joined, sections.pool(images, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depth", DEPTHS)
def test_nothing_that_trains_lies_before_the_cut(backbone, depth):
    layers = backbone.model.layers
    cut = choose_cut(backbone.model, depth)
    training = {layer.name for layer in trainable_layers(backbone.model, depth)}
    assert not {layer.name for layer in layers[: cut.index + 1]} & (training - {layers[0].name})


@pytest.mark.parametrize("depth", DEPTHS[:-2])
def test_no_later_cut_would_do(backbone, depth):
    from tlsearch.training.network.cut import cut_points

    cut = choose_cut(backbone.model, depth)
    first = depth.first_layer(len(backbone.model.layers))
    assert not [c for c in cut_points(backbone.model) if cut.index < c.index < first]


def test_a_frozen_backbone_is_cut_behind_its_pooling(backbone):
    sections = backbone.sections(Depth(0))
    assert sections.suffix is None
    assert len(sections.prefix.output.shape) == 2


def test_sections_are_built_once(backbone):
    nodes = [len(layer._inbound_nodes) for layer in backbone.model.layers]
    for _ in range(3):
        backbone.sections(Depth(13))
        backbone.sections(Depth(13, blocks=1))
    again = [len(layer._inbound_nodes) for layer in backbone.model.layers]
    assert max(b - a for a, b in zip(nodes, again, strict=True)) <= 2


def test_every_cut_is_listed_with_what_it_serves_and_leaves(backbone):
    found = cut_costs(backbone.row)
    assert (found[0].multiply_adds, found[-1].share) == (0, 1.0)
    assert found[-1].multiply_adds == backbone.row.multiply_adds
    assert [cut.share for cut in found] == sorted(cut.share for cut in found)
    for one, deeper in zip(found[1:], found, strict=False):
        for layers in (deeper.depth.layers + 1, one.depth.layers):
            assert choose_cut(backbone.model, Depth(layers)).name == one.name


def test_a_cut_before_a_block_serves_that_block(backbone):
    anatomy, found = backbone.row.anatomy, cut_costs(backbone.row)
    reached = {cut.depth.layers: cut.depth.blocks for cut in found}
    for blocks, layers in enumerate(anatomy.block_layers):
        assert reached[layers] == blocks
        place = choose_cut(backbone.model, anatomy.depth(blocks)).index
        assert blocks == 0 or place == anatomy.layers - layers - 1
