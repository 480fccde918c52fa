"""Commands for a cluster: fast, without Ray until they need it, and clear about mistakes."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

QUIET = """
import sys
from tlsearch.cli.main import main
code = main()
heavy = {"tensorflow", "keras", "ray", "pandas", "optuna"} & {*sys.modules}
sys.exit(f"imported {heavy}" if heavy else code)
"""


@pytest.mark.parametrize(
    "command", [["submit"], ["status"], ["stop"], ["cluster", "check"], ["cluster", "manifest"]]
)
def test_help_imports_nothing_heavy(command):
    done = subprocess.run(
        [sys.executable, "-c", QUIET, *command, "--help"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout


def test_a_manifest_is_printed_without_ray():
    arguments = ["cluster", "manifest", "--kuberay", "--study", "s3://b/q", "--workers", "3"]
    done = subprocess.run([sys.executable, "-c", QUIET, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    job = [*yaml.safe_load_all(done.stdout)][1]
    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit"], "missing argument: a SPACE, or --resume DIR"),
        (["submit", "quickstart", "--resume", "/x"], "SPACE and --resume: choose one"),
        (["submit", "--resume", "/x", "--study", "/y"], "--study and --resume: choose one"),
        (["submit", "quickstart"], "storage: found runs, expected a URL"),
        (["submit", "quickstart", "--study", "/x", "--address", "ray://h:1"], "a Ray client"),
        (["run", "quickstart", "--address", "ray://h:10001"], "a Ray client"),
        (["resume", "runs/x", "--address", "ray://h:10001"], "a Ray client"),
        (["status", "--follow"], "--follow needs a JOB"),
        (["cluster", "manifest"], "--kuberay is the only one"),
        (["cluster", "check", "gone.yaml"], "gone.yaml: cannot be read"),
        (["cluster", "check", "gone.yaml", "--space", "gone"], "gone: no such file"),
    ],
)
def test_a_mistake_is_a_message_and_exit_code_2(invoke, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [["submit", "quickstart", "--study", "/x"], ["status"], ["stop", "j"], ["run", "quickstart"]],
)
def test_a_cluster_that_cannot_be_reached_is_exit_code_3(invoke, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    code, out, err = invoke(*arguments, "--address", address)
    assert (code, out) == (3, "")
    assert "cannot be reached" in err
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("command", [["status"], ["stop", "j"], ["submit", "quickstart"]])
def test_rays_variable_counts_as_the_address(invoke, monkeypatch, command):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    place = ["--study", "/mnt/x"] if command[0] == "submit" else []
    code, _, err = invoke(*command, *place)
    assert code == 3
    assert "http://127.0.0.1:9: cannot be reached" in err
    code, _, err = invoke(*command, *place, "--address", "http://127.0.0.1:7")
    assert "http://127.0.0.1:7: cannot be reached" in err


def test_submit_names_the_variables_that_travel_and_shows_no_value(invoke, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    place = ["--study", "s3://bucket/x", "--address", "http://127.0.0.1:9"]
    code, out, err = invoke("submit", "quickstart", *place)
    assert code == 3
    assert "readable by anyone who can read the cluster's jobs: " in err
    assert "AWS_SECRET_ACCESS_KEY" in err
    assert "hush" not in out + err


def test_a_head_type_that_is_not_there_is_a_mistake_and_no_traceback(invoke, tmp_path):
    file = tmp_path / "cluster.yaml"
    shipped = Path(__file__).parents[2] / "cluster.yaml"
    text = shipped.read_text()
    file.write_text(re.sub(r"head_node_type: .*", "head_node_type: hd\nno_such_key: 1", text))
    code, out, err = invoke("cluster", "check", file)
    assert code == 2
    assert "`head_node_type` must be one of" in err
    assert "Traceback" not in out + err
