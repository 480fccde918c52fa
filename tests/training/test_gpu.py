"""Laws for every device: checked on the CPU, and on a GPU if there is one.

Two processes share the GPU, each with a part of it, and train at the same time.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tlsearch.base.gpus import limit_mib, memory_mib
from tlsearch.bundle.export_request import ExportRequest
from tlsearch.config.dataset import Data, Splits
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.export.exporter import export_bundle

pytestmark = pytest.mark.training

PROGRAM = Path(__file__).parent / "gpu_laws.py"
DIGITS = Data(kind="digits", image_px=32, splits=Splits(train=60, validation=70, test=80))
SHARE = 0.4
# The largest distance between two gradients, as a share of the length of one.
SIXTEEN_BITS, TEN_BITS, OTHER_ORDER = 0.05, 1e-2, 1e-3


@dataclass(frozen=True)
class Ran:
    """The output of a process, and the MiB of the GPU that all processes took."""

    out: Path
    taken_mib: int

    @property
    def outcome(self):
        return json.loads((self.out / "outcome.json").read_text())

    def curve(self, way):
        """Return the epoch, value and validation loss of each epoch."""
        assert way not in self.outcome["failed"], self.outcome["failed"][way]
        return self.outcome["curves"][way]

    def state(self, way, epoch, part):
        """Return all saved arrays of a part, "model" or "optimizer", as one vector."""
        assert self.curve(way)
        arrays = load_checkpoint(self.out / f"{way}-{epoch}.npz").arrays
        names = sorted(name for name in arrays if name.startswith(part))
        return np.concatenate([arrays[name].ravel() for name in names])

    def gradient(self, way):
        """Return the change in the model after the first step."""
        return self.state(way, 1, "model") - self.state(way, 0, "model")


@pytest.fixture(scope="module")
def run(cache, taken_mib, tmp_path_factory):
    """Run the program in several processes at the same time, each on a share of the first GPU."""

    def started(share, count):
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "0" if share else ""}
        outs = [tmp_path_factory.mktemp("laws") for _ in range(count)]
        processes = []
        for out in outs:
            with (out / "log").open("w") as log:
                command = [sys.executable, PROGRAM, str(share), cache, out]
                processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
        most = taken_mib(*processes)
        codes = [process.returncode for process in processes]
        assert codes == [0] * count, [(out / "log").read_text()[-4000:] for out in outs]
        return [Ran(out, most) for out in outs]

    return started


@pytest.fixture(scope="module")
def on_cpu(run):
    return run(0, 1)


@pytest.fixture(scope="module")
def on_gpu(run):
    return run(SHARE, 2)


ON_GPU = pytest.mark.gpu


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=ON_GPU)])
def ran(request):
    return request.getfixturevalue(f"on_{request.param}")[0]


def apart(one, other):
    """Return the distance of two vectors, as a share of the length of the first."""
    return np.linalg.norm(other - one) / np.linalg.norm(one)


def test_gradients_in_sixteen_bits_are_nearly_those_of_float32(ran):
    assert 0 < apart(ran.gradient("float32"), ran.gradient("bfloat16")) < SIXTEEN_BITS


def test_xla_computes_the_same_gradients(ran):
    assert apart(ran.gradient("float32"), ran.gradient("xla")) < OTHER_ORDER


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_a_resumed_trial_is_the_unbroken_one(ran, part):
    whole, resumed = (ran.state(way, 3, part) for way in ("float32", "resumed"))
    if "CPU" in ran.outcome["device"]:
        np.testing.assert_array_equal(whole, resumed)
    assert apart(whole, resumed) < OTHER_ORDER  # a GPU sums in a different order each time


@pytest.mark.parametrize(
    ("ran", "way"),
    [
        ("cpu", "bfloat16"),
        pytest.param("gpu", "bfloat16", marks=ON_GPU),
        pytest.param("gpu", "float32", marks=ON_GPU),
    ],
    indirect=["ran"],
)
def test_an_export_of_what_was_trained_there_is_verified(ran, way, digits, tmp_path):
    *_, (epoch, value, _) = ran.curve(way)
    request = ExportRequest(
        checkpoint=ran.out / f"{way}-{epoch}.npz",
        data=digits,
        pictures_from=DIGITS,
        formats=("keras",),
        out=tmp_path / "bundle",
        versions={},
        recorded={epoch: value},
    )
    (artifact,) = export_bundle(request).manifest.artifacts
    assert artifact.parity <= artifact.row.tolerance


@ON_GPU
@pytest.mark.parametrize(
    ("way", "distance"),
    [
        ("float32", OTHER_ORDER),
        ("tf32", TEN_BITS),
        ("bfloat16", SIXTEEN_BITS),
        ("bfloat16, xla", SIXTEEN_BITS),
    ],
)
def test_a_gpu_computes_the_cpus_gradient(on_cpu, on_gpu, way, distance):
    assert apart(on_cpu[0].gradient("float32"), on_gpu[0].gradient(way)) < distance


@ON_GPU
def test_two_trials_that_share_a_gpu_train_alike(on_gpu):
    assert all("GPU" in ran.outcome["device"] for ran in on_gpu)
    for way in on_gpu[0].outcome["curves"]:
        losses = [[loss for _, _, loss in ran.curve(way)] for ran in on_gpu]
        np.testing.assert_allclose(*losses, rtol=TEN_BITS)


@ON_GPU
def test_each_has_all_memory_of_its_share_and_no_more(on_gpu):
    (total, *_) = memory_mib()
    limit = limit_mib(SHARE, total)
    for ran in on_gpu:
        assert 0.8 * limit < ran.outcome["memory_mib"] <= limit
    assert on_gpu[0].taken_mib <= len(on_gpu) * SHARE * total  # including CUDA's own memory
