"""What a user should know before a search begins."""

import pytest

from tlsearch.config.load import parse
from tlsearch.config.requirements import log_warnings

SPACE = """
data: {{kind: digits}}
space: {{backbone: {backbone}, weights: {weights}}}
prior: {prior}
"""


@pytest.mark.parametrize(
    ("backbone", "weights", "named"),
    [
        ("[mobilenet_v2, strokes]", "default", "strokes with `weights: default`"),
        ("mobilenet_v2", "[imagenet, none]", "mobilenet_v2 with `weights: none`"),
    ],
)
def test_a_prior_that_cannot_propose_says_why_before_the_search(caplog, backbone, weights, named):
    log_warnings(parse(SPACE.format(backbone=backbone, weights=weights, prior="auto")))
    assert caplog.messages == [
        "prior: proposes no trials, because it compares networks by their published accuracy on "
        f"ImageNet, and none is published for {named}; set `prior: off`, or search other networks"
    ]


@pytest.mark.parametrize(("backbone", "prior"), [("mobilenet_v2", "auto"), ("strokes", "off")])
def test_a_prior_that_can_propose_or_is_off_says_nothing(caplog, backbone, prior):
    log_warnings(parse(SPACE.format(backbone=backbone, weights="default", prior=prior)))
    assert caplog.messages == []
