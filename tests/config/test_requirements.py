"""What a user should know before a search begins."""

import pytest

from tlsearch.config.load import parse
from tlsearch.config.requirements import warn_before_search

SPACE = """
data: {{kind: digits, image_px: 56}}
space: {{backbone: {backbone}, weights: {weights}}}
prior: {prior}
"""


@pytest.mark.parametrize(
    ("backbone", "weights", "named"),
    [
        ("[mobilenet_v2, strokes]", "default", "strokes"),
        ("mobilenet_v2", "[imagenet, none]", "mobilenet_v2 with `weights: none`"),
    ],
)
def test_a_prior_that_cannot_propose_says_why_before_the_search(caplog, backbone, weights, named):
    warn_before_search(parse(SPACE.format(backbone=backbone, weights=weights, prior="auto")))
    assert caplog.messages == [
        "prior: proposes no trials, because it compares networks by their published accuracy on "
        f"ImageNet, and none is published for {named}; set `prior: off`, or search only networks "
        "and weights that have one (`tlsearch backbones` lists them)"
    ]


@pytest.mark.parametrize(
    ("backbone", "weights", "prior"),
    [
        ("mobilenet_v2", "default", "auto"),
        ("dinov2_small", "[default, preset]", "auto"),
        ("strokes", "default", "off"),
    ],
)
def test_a_prior_that_can_propose_or_is_off_says_nothing(caplog, backbone, weights, prior):
    warn_before_search(parse(SPACE.format(backbone=backbone, weights=weights, prior=prior)))
    assert caplog.messages == []
