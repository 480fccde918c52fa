"""The package sent to a cluster runs there; what would stay behind is refused."""

import os
import shlex
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.config.load import load, parse
from tlsearch.search.cluster.job_package import is_shared, new_search, pack, resumed_search
from tlsearch.search.cluster.jobs import Cluster


@pytest.mark.parametrize(
    ("location", "shared"),
    [
        ("s3://bucket/x", True),
        ("s3:/bucket/x", True),  # as a Path writes it
        ("gs://bucket", True),
        ("/mnt/shared", True),
        ("runs", False),
        ("~/runs", False),
        ("", False),
        ("C:\\runs", False),
    ],
)
def test_a_place_that_all_nodes_see(location, shared):
    assert is_shared(location) == shared


def test_everything_that_would_stay_behind_is_told_at_once():
    settings = ["data.kind=folder", "data.path=photos", "space.weights=[mine.weights.h5]"]
    with pytest.raises(ConfigError) as caught:
        new_search(load("quickstart", [*settings, "data.image_px=64"]), None)
    problems = "\n".join(caught.value.problems)
    for part in ("storage: found runs", "data.path: found photos", "mine.weights.h5"):
        assert part in problems


def test_a_driver_gets_the_study_and_the_changes_as_they_were_written():
    new = new_search(load("quickstart"), "/mnt/a b/$x")
    assert (new.name, new.location) == ("quickstart", "/mnt/a b/$x")
    assert shlex.split(new.line)[-4:] == ["run", "space.yaml", "--study", "/mnt/a b/$x"]
    assert "--study" not in new_search(load("quickstart", ["storage=/mnt/x"]), None).line
    on = resumed_search("s3://b/studies/my pets/", ["trials=30", "space.dropout=[0, 0.5]"])
    assert on.name == "my-pets"
    assert shlex.split(on.line)[-5:] == [
        "s3://b/studies/my pets/",
        "--set",
        "trials=30",
        "--set",
        "space.dropout=[0, 0.5]",
    ]
    with pytest.raises(ConfigError, match="--resume: found runs/x, expected a URL"):
        resumed_search("runs/x", [])


def test_the_line_replaces_its_shell_so_that_a_signal_reaches_the_driver():
    assert new_search(load("quickstart"), "/x").line.startswith("exec python3 -m tlsearch")


def test_the_package_that_travels_runs_by_itself(tmp_path):
    config = load("quickstart", ["seed=7"])
    pack(tmp_path, config)
    assert parse((tmp_path / "space.yaml").read_text()) == config
    assert not list(tmp_path.rglob("__pycache__"))
    code = (
        "import tlsearch; from importlib import metadata; from tlsearch.config.load import *;"
        "print(tlsearch.__file__, metadata.version('tlsearch'), load('quickstart').seed)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    file, version, seed = done.stdout.split()
    assert file == str(tmp_path / "tlsearch" / "__init__.py")
    assert (version, seed) == (metadata.version("tlsearch"), "0")
    assert list((tmp_path / "tlsearch" / "weights").glob("*.h5"))


def test_a_study_that_goes_on_carries_no_space(tmp_path):
    pack(tmp_path, None)
    assert not (tmp_path / "space.yaml").exists()


AWS = {"AWS_ENDPOINT_URL": "http://minio:9000", "AWS_SECRET_ACCESS_KEY": "hush"}


@pytest.mark.parametrize(
    ("location", "names"),
    [
        ("s3://bucket/studies/pets", {"AWS_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY"}),
        ("gs://bucket/studies/pets", {"GOOGLE_CLOUD_PROJECT"}),
        ("/mnt/shared/pets", set()),
    ],
)
def test_variables_travel_that_say_how_the_bucket_is_reached(location, names, monkeypatch):
    for name, value in {**AWS, "GOOGLE_CLOUD_PROJECT": "p", "AWS_PROFILE": "me"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    assert set(resumed_search(location, []).env) >= names
    assert not {"AWS_PROFILE", "AWS_REGION"} & set(resumed_search(location, []).env)


def test_credentials_in_an_endpoint_do_not_travel(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hush@minio:9000")
    with pytest.raises(ConfigError, match=r"AWS_ENDPOINT_URL: found .* with credentials in it"):
        _ = resumed_search("s3://bucket/studies/pets", []).env


def test_a_job_gets_the_variables_in_its_environment(monkeypatch):
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    given = {}
    cluster = Cluster.__new__(Cluster)
    cluster.url = "http://head:8265"
    cluster._client = SimpleNamespace(submit_job=lambda **named: given.update(named) or "job-1")
    assert cluster.submit(resumed_search("s3://bucket/studies/pets", [])) == "job-1"
    assert given["runtime_env"]["env_vars"].items() >= AWS.items()
    assert "hush" not in f"{given['entrypoint']} {given['metadata']} {given['submission_id']}"
