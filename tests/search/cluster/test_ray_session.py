import json
import logging
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.exceptions import RayActorError

from tlsearch.base.errors import ClusterError
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.ray_session import (
    LOGGERS,
    LostWorkerFilter,
    call_without_gpus,
    connect,
    count_slots,
    log_cluster_message,
    store_token,
)


@pytest.mark.parametrize(
    ("asked", "available", "expected"),
    [
        ({}, {"CPU": 2}, 2),
        ({"cpus_per_trial": 2}, {"CPU": 5}, 2),
        ({"max_concurrent": 1}, {"CPU": 8}, 1),
        ({"gpus_per_trial": 0.25}, {"CPU": 64, "GPU": 2}, 8),
        ({"gpus_per_trial": 0.1}, {"CPU": 64, "GPU": 1}, 10),
        ({"gpus_per_trial": 1}, {"CPU": 3, "GPU": 4}, 3),
    ],
)
def test_as_many_trials_run_as_fit(asked, available, expected):
    assert count_slots(Resources(**asked), available) == expected


def test_a_trial_that_never_fits_is_refused_with_both_numbers():
    with pytest.raises(ClusterError) as refused:
        count_slots(Resources(cpus_per_trial=2, gpus_per_trial=1), {"CPU": 2}, {"CPU": 1, "GPU": 1})
    assert str(refused.value) == (
        "no node can run a trial: a trial requests 2 CPUs and 1 GPU, the nodes have 1 CPU and "
        "1 GPU, or 2 CPUs and 0 GPUs; lower resources.cpus_per_trial or resources.gpus_per_trial, "
        "or add a larger node"
    )


@pytest.fixture(scope="module")
def cluster():
    """Return cluster.yaml with Ray's defaults filled in, validated against Ray's schema."""
    path = Path(__file__).parents[3] / "cluster.yaml"
    config = prepare_config(yaml.safe_load(path.read_text()))
    validate_config(config)
    return config


def test_the_head_of_the_cluster_takes_no_trials(cluster):
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"]["CPU"] == 0
    assert "GPU" not in head["resources"]


def test_every_node_installs_the_ray_that_was_tested(cluster):
    commands = " ".join(cluster["head_setup_commands"] + cluster["worker_setup_commands"])
    assert commands.count(f"ray[default,tune]=={metadata.version('ray')}") == 2
    assert "nightly" not in commands
    assert "latest" not in commands


def test_the_dashboard_stays_on_the_head(cluster):
    assert "--dashboard-host=127.0.0.1" in " ".join(cluster["head_start_ray_commands"])


SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


@pytest.fixture(scope="module")
def settings():
    """Return the environment after the import of a module that imports Ray."""
    code = "import json, os, tlsearch.search.ending; print(json.dumps(dict(os.environ)))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_settings_stand_before_ray_is_imported(settings, name, value):
    assert settings[name] == value


@pytest.mark.parametrize("named", [None, "192.0.2.1:6379"])
def test_a_ray_that_others_started_is_joined_only_where_it_is_named(monkeypatch, named):
    asked = []

    def init(address, **_):
        asked.append(address)
        raise RuntimeError("this test needs no Ray")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if named:
        monkeypatch.setenv("RAY_ADDRESS", named)
    with pytest.raises(ClusterError), connect(Resources()):
        pass
    assert asked == [named or "local"]


def test_rays_token_is_the_users_alone_whatever_the_umask(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    before = os.umask(0)
    try:
        store_token()
    finally:
        os.umask(before)
    file = tmp_path / ".ray" / "auth_token"
    token = file.read_text()
    assert len(token) == 64
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.chmod(0o644)  # as Ray leaves it
    store_token()
    assert (file.read_text(), file.stat().st_mode & 0o777) == (token, 0o600)


def test_a_token_from_elsewhere_needs_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    store_token()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    store_token()
    assert list(tmp_path.iterdir()) == []


def test_what_runs_in_a_worker_of_its_own_sees_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert call_without_gpus(os.environ.get, "CUDA_VISIBLE_DEVICES") == ""


class DiedError(RayActorError):
    """Ray's error for an actor whose node died."""


def logged(name, message, error, caplog):
    for logger_name in LOGGERS:
        logger = logging.getLogger(logger_name)
        logger.addFilter(log_filter := LostWorkerFilter())
        try:
            if logger_name == name:
                logger.error(message, exc_info=error)
        finally:
            logger.removeFilter(log_filter)
    return caplog.messages


@pytest.mark.parametrize(
    ("name", "message", "error", "shown"),
    [
        (
            "ray.tune.execution.tune_controller",
            "Trial task failed for trial A_1",
            DiedError(),
            False,
        ),
        ("ray.tune.tune", "Trials did not complete: [A_1]", None, False),
        ("ray.tune.execution.tune_controller", "Trial task failed", ValueError("a bug"), True),
        ("ray.tune.tune", "Experiment state snapshotting failed:", OSError("full"), True),
    ],
)
def test_a_lost_worker_leaves_no_traceback_of_rays_and_a_bug_does(
    name, message, error, shown, caplog
):
    assert logged(name, message, error, caplog) == ([message] if shown else [])


def test_what_the_cluster_says_is_a_line_in_the_log_and_nothing_on_stdout(caplog, capsys):
    dead = "The node with node id: 58 has been marked dead because \t(1) raylet crashed\n\t(2) lag"
    with caplog.at_level(logging.WARNING):
        log_cluster_message({"lines": [dead], "pid": "raylet", "is_err": False})
        log_cluster_message({"lines": ["out of memory on 10.0.0.2\nmore\n"], "pid": "raylet"})
    assert caplog.messages == ["Ray: out of memory on 10.0.0.2"]
    assert capsys.readouterr() == ("", "")
