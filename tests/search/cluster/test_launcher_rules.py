"""Harmful mistakes that Ray's launcher accepts, each injected into the project's own file."""

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tlsearch.config.schema import Resources
from tlsearch.search.cluster.launcher_rules import mistakes, summary

RAY = metadata.version("ray")
OWN = (Path(__file__).parents[3] / "cluster.yaml").read_text()


def found_in(text, trial=None, ray=RAY):
    return mistakes(yaml.safe_load(text), ray, trial or Resources())


def test_the_projects_own_file_has_none():
    assert found_in(OWN) == []
    assert "takes no trials" in summary(yaml.safe_load(OWN))[0]


INSTALL = f'pip install "ray[default,tune]=={RAY}" ~/tlsearch-source"[gpu,cluster]"'
TOKEN = "RAY_AUTH_MODE=token"

# Mistake -> text in the file, its replacement, the key named, words of the message.
INJECTED = {
    "head takes trials": ("{CPU: 0}", "{CPU: 4}", "resources.CPU", "4"),
    "head takes what it has": ("{CPU: 0}", "{}", "resources.CPU", "Ray then uses all CPUs"),
    "unpinned": (INSTALL, 'pip install "ray[default]"', "setup_commands.0", "any version"),
    "a range": (INSTALL, 'pip install "ray>=2.9"', "setup_commands.0", "any version"),
    "nightly wheel": (
        INSTALL,
        'pip install -U "ray[default] @ https://x.test/latest/ray-3.0.0.dev0-cp311.whl"',
        "setup_commands.0",
        "a moving build",
    ),
    "nightly image": ("ray:2.60.0-py311-gpu", "ray:nightly", "docker.worker_image", "a moving"),
    "image without a tag": ("ray:2.60.0-py311-gpu", "ray", "docker.worker_image", "any version"),
    "another image": ("ray:2.60.0-py311-gpu", "ray:2.9.3-gpu", "docker.worker_image", "Ray 2.9.3"),
    "another Ray": (INSTALL, "pip install ray==2.9.3", "setup_commands.0", "Ray 2.9.3"),
    "open dashboard": ("host=127.0.0.1", "host=0.0.0.0", "head_start_ray_commands.1", "0.0.0.0"),
    "open dashboard, a space": (
        "--dashboard-host=127.0.0.1",
        "--dashboard-host '::'",
        "head_start_ray_commands.1",
        "::",
    ),
    "no token asked for": (TOKEN, "RAY_AUTH_MODE=disabled", "head_start_ray_commands", TOKEN),
    "no token there": ("  ~/.ray/auth_token: ~/.ray/auth_token\n", "", "file_mounts", "no token"),
    "no storage": ("  storage: s3://", "  other: s3://", "metadata.storage", "none"),
    "a node's own storage": ("storage: s3://R", "storage: runs/R", "metadata.storage", "runs/R"),
    "storage that nobody mounts": (
        "storage: s3://REPLACE-WITH-YOUR-BUCKET/",
        "storage: /mnt/shared/",
        "metadata.storage",
        "which no command mounts",
    ),
    "workers without a role": (
        "IamInstanceProfile: {Name: REPLACE-WITH-A-ROLE-FOR-WORKERS}",
        "Monitoring: {Enabled: false}",
        "gpu_spot.node_config",
        "no IamInstanceProfile",
    ),
    "no worker may start": ("max_workers: 8", "max_workers: 0", "gpu_spot.resources", "at most 0"),
}


@pytest.mark.parametrize(("old", "new", "key", "words"), INJECTED.values(), ids=INJECTED)
def test_each_mistake_is_found_where_it_is(old, new, key, words):
    assert old in OWN
    found = found_in(OWN.replace(old, new))
    described = [
        (".".join(map(str, mistake.at)), f"{mistake.found} {mistake.expected}") for mistake in found
    ]
    assert any(key in at and words in text for at, text in described), described
    assert all(mistake.expected and mistake.remedy for mistake in found)


@pytest.mark.parametrize(
    ("trial", "fits"),
    [
        ({"gpus_per_trial": 1}, True),
        ({"gpus_per_trial": 0.25, "cpus_per_trial": 8}, True),
        ({"gpus_per_trial": 1, "cpus_per_trial": 9}, False),
        ({"cpus_per_trial": 9}, False),
    ],
)
def test_a_trial_must_fit_on_one_worker(trial, fits):
    found = found_in(OWN, Resources(**trial))
    assert (found == []) == fits
    assert all("one node" in mistake.expected for mistake in found)


def test_another_ray_installed_here_is_told_for_each_place():
    places = [mistake.at for mistake in found_in(OWN, ray="2.61.0")]
    assert places == [("docker", "head_image"), ("docker", "worker_image"), ("setup_commands", 0)]


def test_all_mistakes_are_told_at_once():
    text = OWN.replace("{CPU: 0}", "{CPU: 4}").replace("127.0.0.1", "0.0.0.0")
    text = text.replace(INSTALL, "pip install ray").replace(TOKEN, "X=1")
    assert len({mistake.at[0] for mistake in found_in(text)}) >= 4


def test_a_token_in_the_environment_needs_no_file():
    text = OWN.replace("  ~/.ray/auth_token: ~/.ray/auth_token\n", "")
    assert found_in(text.replace(TOKEN, f"RAY_AUTH_TOKEN_PATH=/run/token {TOKEN}")) == []


def test_an_image_of_ones_own_may_hold_ray_where_its_tag_is_fixed():
    text = re.sub(r"rayproject/ray:\S+", "me.test:5000/tlsearch:1.0", OWN)
    text = text.replace(INSTALL, "date")
    assert found_in(text) == []
    assert {
        mistake.at[0] for mistake in found_in(text.replace("tlsearch:1.0", "tlsearch:latest"))
    } == {"docker"}
