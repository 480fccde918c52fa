import subprocess
import sys
from dataclasses import replace

import keras
import pytest
import tensorflow as tf

from tlsearch.bundle import runtimes
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.config.device import CPU_PROFILE, PRECISIONS
from tlsearch.training import runtime
from tlsearch.training.checkpoint import Checkpoint
from tlsearch.training.epoch.executor import Executor, shared_executor
from tlsearch.training.export.whole_model import restore
from tlsearch.training.runtime import release_memory, resident_bytes
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

COUNT = """
import os
from tlsearch.training.runtime import limit_resources
limit_resources(1)
limit_resources(1)
import tensorflow as tf
tf.linalg.matmul(tf.ones((900, 900)), tf.ones((900, 900)))
print(tf.config.threading.get_intra_op_parallelism_threads())
print(tf.config.threading.get_inter_op_parallelism_threads())
"""


def test_tensorflow_keeps_to_the_threads_it_was_granted():
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_a_process_that_grew_forgets_and_trains_on(small_trial, digits, store):
    before = [r.validation_loss for r in train(small_trial(20), digits, store)]
    assert not release_memory(2**50)
    assert shared_executor.cache_info().currsize == 1
    assert release_memory(0)
    assert shared_executor.cache_info().currsize == 0
    again = [r.validation_loss for r in train(small_trial(20), digits, store)]
    assert before == again
    assert resident_bytes() > 100 * 2**20


class Config:
    """A stand-in for TensorFlow's configuration of two GPUs that records the settings."""

    LogicalDeviceConfiguration = staticmethod(lambda memory_limit: memory_limit)

    def __init__(self, devices=("gpu0", "gpu1")):
        self.devices, self.set = list(devices), {}
        self.experimental, self.visible = self, self.devices

    def list_physical_devices(self, kind):
        return self.devices

    def set_visible_devices(self, devices, kind):
        assert kind == "GPU"
        self.visible = devices

    def get_visible_devices(self, kind):
        return self.visible

    def get_device_details(self, device):
        return {"device_name": device}

    def set_memory_growth(self, device, grows):
        self.set[device] = "grows"

    def set_logical_device_configuration(self, device, limits):
        self.set[device] = limits


@pytest.fixture
def config(monkeypatch):
    """Let TensorFlow see two GPUs of 16 and 8 GiB."""
    fake = Config()
    monkeypatch.setattr(runtime.tf, "config", fake)
    monkeypatch.setattr(runtime, "granted_mib", lambda: (16384, 8192))
    return fake


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.25, {"gpu0": [3584], "gpu1": [1536]}),
        (1, {"gpu0": "grows", "gpu1": "grows"}),
    ],
)
def test_a_share_of_a_gpu_is_a_share_of_its_memory(config, share, expected):
    runtime.limit_gpus(share)
    assert config.set == expected
    assert runtime.gpu_names() == ("gpu0", "gpu1")


def test_a_process_that_was_granted_no_gpu_sees_none(config):
    runtime.limit_gpus(0)
    assert (config.set, config.visible) == ({}, [])
    assert runtime.gpu_names() == ()  # and the record names none


def test_a_share_that_cannot_be_enforced_is_said(config, monkeypatch, caplog):
    monkeypatch.setattr(runtime, "granted_mib", lambda: ())
    runtime.limit_gpus(0.5)
    assert config.set == {"gpu0": "grows", "gpu1": "grows"}
    assert "the share of it is not enforced" in caplog.text


def test_a_granted_gpu_that_tensorflow_does_not_see_is_said(config, caplog):
    config.devices.clear()
    runtime.limit_gpus(1)
    assert "trains on CPUs" in caplog.text


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_process_rounds_to_tf32_only_where_it_is_asked_to(precision):
    runtime.apply_profile(replace(CPU_PROFILE, precision=precision))
    assert tf.config.experimental.tensor_float_32_execution_enabled() == (precision == "tf32")


def test_references_and_reloaded_files_are_computed_in_full_float32(small_trial, tmp_path):
    trial = small_trial(20)
    network = Executor().network(trial, 10)
    kept = Checkpoint(trial, 1, network.changeable_values(), network.backbone.digest)
    image = keras.Input((4, 4, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(tmp_path / "m.keras")
    rounds = tf.config.experimental
    for compute in (
        lambda: restore(kept, 10),
        lambda: runtimes.load(tmp_path / "m.keras", EXPORT_FORMATS["keras"], 1),
    ):
        rounds.enable_tensor_float_32_execution(True)
        compute()
        assert not rounds.tensor_float_32_execution_enabled()
