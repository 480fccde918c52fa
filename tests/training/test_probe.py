"""The fastest settings of a device, with stand-ins for the memory and the speed of a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tlsearch.config.device import CPU_PROFILE
from tlsearch.training import probe as probing
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.probe import ProbeRequest, pass_rows, probe

pytestmark = pytest.mark.training

ASKED = ProbeRequest(("strokes",), 32, {"strokes": 15}, True, 1, 0.0, CPU_PROFILE.to_json())


@pytest.fixture
def gpu(monkeypatch):
    """Fake a GPU with room for `room` images, which is no faster beyond `enough`."""

    def build(room, enough):
        def frozen_pass(backbone, outputs, images, xla_rows=None):
            def run(few):
                if len(few) > room:
                    raise tf.errors.ResourceExhaustedError(None, None, "no room")
                return [np.zeros(len(few))]

            return run

        def first_and_steady(run, count):
            run()
            return 0.0, 1 / min(count, enough)

        monkeypatch.setattr(probing, "frozen_pass", frozen_pass)
        monkeypatch.setattr(probing, "first_and_steady", first_and_steady)

    return build


@pytest.mark.parametrize(
    ("room", "enough", "expected"), [(10**9, 200, 256), (100, 10**9, 64), (5, 10**9, 4)]
)
def test_a_pass_takes_as_many_images_as_are_faster_and_fit(gpu, room, enough, expected):
    gpu(room, enough)
    assert pass_rows(load_backbone("strokes", "none", 32), 32, jit=False) == expected


@pytest.mark.parametrize(("xla_s", "expected"), [(0.5, ["strokes"]), (1.0, [])])
def test_xla_is_chosen_where_it_pays(gpu, monkeypatch, xla_s, expected):
    gpu(10**9, 64)
    monkeypatch.setattr(
        probing, "_image_s", lambda name, asked, device: xla_s if device.compiles(name) else 1.0
    )
    assert probe(ASKED) == {"pass_rows": {"strokes": 64}, "jit": expected}
    assert probe(replace(ASKED, compare=False))["jit"] == []


def test_a_pass_and_a_step_of_training_are_timed_together():
    for jit in ((), ("strokes",)):
        device = replace(CPU_PROFILE, jit=jit, pass_rows=(("strokes", 4),))
        assert probing._image_s("strokes", ASKED, device) > 0
    load_backbone.cache_clear()
