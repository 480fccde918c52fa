"""The measurement of costs: small, short, and on the networks that trials train."""

import time
from dataclasses import replace

import pytest

from tlsearch.config.catalog import BACKBONES
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.pace import Pace
from tlsearch.training import calibrate
from tlsearch.training.calibrate import CalibrationRequest, measure
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.network.model import parameter_count
from tlsearch.training.work_done import Price

pytestmark = pytest.mark.training

DEPTHS = (Depth(0), Depth(15), Depth("all"))


def asked(*backbones):
    depths = dict.fromkeys(backbones, DEPTHS)
    return CalibrationRequest(backbones, 32, depths, 10, (), "adamw", "float16", 1, {}, time.time())


@pytest.fixture(scope="module")
def strokes():
    return Pace.of(measure(asked("strokes"))["paces"]["strokes"])


def test_every_cut_takes_time_and_the_deeper_one_costs_less(strokes):
    assert [suffix.depth for suffix in strokes.suffixes] == [*DEPTHS]
    assert all(s.train_s > 0 and s.predict_s > 0 for s in strokes.suffixes)
    assert strokes.pass_s > 0
    costs = [suffix.cost for suffix in strokes.suffixes]
    shares = [suffix.share for suffix in strokes.suffixes]
    assert costs == sorted(costs)
    assert shares == sorted(shares, reverse=True)


def test_costs_are_those_of_the_trials_own_networks(strokes, small_trial):
    for depth in DEPTHS:
        network = Executor().network(small_trial(depth.layers), 10)
        suffix = strokes.suffix(depth)
        assert suffix.cost == Price.of(network).epoch(1, 0)
        assert suffix.trained == parameter_count(network.trainable_variables())
        assert suffix.from_images == network.sections.from_images


def test_backbones_of_one_build_are_measured_once(monkeypatch):
    loaded = []
    monkeypatch.setattr(
        calibrate, "_pace", lambda name, asked, like: loaded.append(name) or Pace(1, 1.0, 1.0, ())
    )
    assert set(measure(asked("strokes", "photos"))["paces"]) == {"strokes", "photos"}
    assert loaded == ["strokes"]


def test_others_are_scaled_by_multiply_adds(strokes):
    larger = calibrate._pace("mobilenet_v2", asked("mobilenet_v2"), strokes)
    ratio = larger.multiply_adds / strokes.multiply_adds
    assert ratio > 1
    assert larger.pass_s == pytest.approx(strokes.pass_s * ratio)
    load_backbone.cache_clear()


def test_blocks_are_measured_at_each_backbones_own_cuts(strokes):
    names = ("strokes", "mobilenet")
    depths = {name: (Depth(0), BACKBONES[name].anatomy.depth(1)) for name in names}
    request = replace(asked(*names), depths=depths)
    measured = calibrate._pace("strokes", request, None)
    scaled = calibrate._pace("mobilenet", request, measured)
    assert [suffix.depth.layers for suffix in measured.suffixes] == [0, 11]
    assert [suffix.depth.layers for suffix in scaled.suffixes] == [0, 6]
    assert scaled.suffix(Depth(6)).cut_name == "conv_pw_12_relu"
    load_backbone.cache_clear()


def test_augmenting_is_measured_where_it_is_asked_for():
    still = asked()
    assert measure(still)["augment_s"] == 0
    assert measure(replace(still, augment={"rotate": 0.1}))["augment_s"] > 0
