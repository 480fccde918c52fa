"""GPUs as reported by nvidia-smi (a stand-in on the PATH), and the memory in a share of one."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import ClusterError
from tlsearch.base.gpus import (
    CONTEXT_MIB,
    LEAST_MIB,
    Gpu,
    describe_gpus,
    granted_mib,
    limit_mib,
    memory_mib,
)


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Write a shell script that stands in for `nvidia-smi`."""

    def write(script):
        path = tmp_path / "nvidia-smi"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return write


def test_each_gpu_has_its_memory(driver):
    driver("echo 143771; echo 24564")
    assert memory_mib() == (143771, 24564)


def test_only_granted_ones_are_asked_for(driver, monkeypatch):
    driver('[ "$3 $4" = "-i 1,3" ] && echo 8192 && echo 4096')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    assert granted_mib() == (8192, 4096)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert granted_mib() == ()


def test_each_gpu_is_described(driver):
    driver("echo NVIDIA H200, 143771, 9.0; echo Quadro, old, 24564, 7.5")
    assert describe_gpus() == (Gpu("NVIDIA H200", 143771, 9.0), Gpu("Quadro, old", 24564, 7.5))


@pytest.mark.parametrize(
    "script",
    ["exit 9", "echo No devices were found", "echo 'Field \"compute_cap\" is not a valid field'"],
)
def test_a_driver_that_does_not_answer_has_no_gpu(driver, script):
    driver(script)
    assert memory_mib() == ()
    assert describe_gpus() == ()


def test_where_there_is_no_driver_there_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert memory_mib() == ()


@given(st.integers(1, 16), st.integers(2**11, 2**18))
def test_as_many_trials_as_share_a_gpu_fit_into_its_memory_with_what_cuda_takes(trials, total):
    try:
        limit = limit_mib(1 / trials, total)
    except ClusterError:
        assert total / trials < CONTEXT_MIB + LEAST_MIB + 1
        return
    assert limit >= LEAST_MIB
    assert trials * (limit + CONTEXT_MIB) <= total


def test_a_share_that_is_too_small_is_refused_with_what_it_leaves():
    with pytest.raises(ClusterError, match=r"0\.1 of a GPU with 8192 MiB leaves 307 MiB"):
        limit_mib(0.1, 8192)
