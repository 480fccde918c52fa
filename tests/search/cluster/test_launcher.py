"""Launcher files checked against Ray's own schema and defaults, with the line of each mistake."""

from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tlsearch.base.errors import ConfigError
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.launcher import check_launcher, ray_mistakes

pytestmark = pytest.mark.cluster  # imports Ray

OWN = Path(__file__).parents[3] / "cluster.yaml"


def problems(tmp_path, text, trial=None):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check_launcher(file, trial or Resources())
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]


def line_of(text, part):
    return text[: text.index(part)].count("\n") + 1


def test_the_projects_own_file_passes_and_says_what_is_to_fill_in():
    lines = check_launcher(OWN, Resources(gpus_per_trial=0.25))
    assert any(line.startswith("gpu_spot: 1 to 8 workers of 8 CPU, 1 GPU") for line in lines)
    text = OWN.read_text()
    assert f"still to fill in: {OWN}:{line_of(text, 'storage: s3')}: s3://REPLACE" in "\n".join(
        lines
    )


def test_mistakes_come_with_their_lines_all_at_once(tmp_path):
    text = OWN.read_text().replace("{CPU: 0}", "{CPU: 4}").replace("127.0.0.1", "0.0.0.0")
    lines = problems(tmp_path, text, Resources(cpus_per_trial=9))
    start = line_of(text, "ulimit -n 65536; RAY_AUTH_MODE=token ray start --head")
    assert len(lines) == 4
    assert lines[0].startswith(f"c.yaml:{line_of(text, '{CPU: 4}')}: ")
    assert lines[-1].startswith(
        f"c.yaml:{start}: head_start_ray_commands.1: found --dashboard-host"
    )


def test_what_rays_schema_refuses_is_told_with_its_line_beside_our_own(tmp_path):
    text = OWN.read_text().replace("idle_timeout_minutes", "idle_timeout_minute")
    lines = problems(tmp_path, text.replace("127.0.0.1", "0.0.0.0"))
    line = line_of(text, "idle_timeout_minute")
    assert lines[0] == (
        f"c.yaml:{line}: idle_timeout_minute: found an unknown key, "
        "expected one of Ray's: did you mean 'idle_timeout_minutes'?"
    )
    assert "--dashboard-host=0.0.0.0" in lines[1]


def test_half_a_gpu_is_refused_as_ray_does(tmp_path):
    text = OWN.read_text().replace("{CPU: 8, GPU: 1}", "{CPU: 8, GPU: 0.5}")
    lines = problems(tmp_path, text)
    assert lines[0].startswith(f"c.yaml:{line_of(text, '{CPU: 8, GPU: 0.5}')}: ")
    assert lines[0].endswith(": refused by Ray's schema: 0.5 is not of type 'integer'")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("head_start_ray_commands", "--dashboard-host=0.0.0.0"),
        ("setup_commands", "a moving build"),
        ("metadata", "metadata.storage: found none"),
        ("available_node_types", "`head_node_type` must be one of `available_node_types`"),
    ],
)
def test_what_ray_fills_in_is_looked_at_too(tmp_path, key, words):
    plain = yaml.safe_load(OWN.read_text())
    del plain[key]
    assert words in "\n".join(problems(tmp_path, yaml.safe_dump(plain)))


@pytest.mark.parametrize("text", ["", "- a", "a: [", "provider: {type: aws}", "cluster_name: x"])
def test_a_file_that_is_no_cluster_at_all_is_refused(tmp_path, text):
    assert problems(tmp_path, text)[0].startswith("c.yaml")


def variant(title, without=()):
    """Return the project's file with one of its commented variants applied."""
    block = OWN.read_text().split(f"# --- {title}")[1].split("# ---")[0]
    lines = block.split("\n#\n", 1)[1].splitlines()
    shown = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines))
    plain = {**yaml.safe_load(OWN.read_text()), **shown}
    return {key: value for key, value in plain.items() if key not in without}


OWN_MACHINES = ("available_node_types", "head_node_type", "max_workers")


@pytest.mark.parametrize(
    ("title", "without"), [("Google Cloud", ()), ("Machines of your own", OWN_MACHINES)]
)
def test_the_commented_variants_pass_too(tmp_path, title, without):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(variant(title, without)))
    check_launcher(file, Resources())


def test_the_variant_of_ones_own_machines_keeps_trials_off_the_head(tmp_path):
    plain = variant("Machines of your own", OWN_MACHINES)
    text = yaml.safe_dump(plain).replace("--num-cpus=0", "")
    assert "--num-cpus=0" in problems(tmp_path, text)[0]


def test_ray_fills_in_the_version_that_is_installed():
    refused, filled = ray_mistakes(yaml.safe_load(OWN.read_text()))
    assert refused == []
    assert f"=={metadata.version('ray')}" in filled["setup_commands"][0]


def test_an_unknown_key_hides_no_mistake_that_ray_stops_over(tmp_path):
    text = OWN.read_text().replace("head_node_type: head", "head_node_type: hd\nuser: me")
    lines = problems(tmp_path, text)
    assert lines[0] == (
        "c.yaml: `ray up` refuses this file: "
        "`head_node_type` must be one of `available_node_types`."
    )
    assert lines[1].startswith(f"c.yaml:{line_of(text, 'user: me')}: user: found an unknown key")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1: x", "c.yaml:1: 1: found 1, expected text as a key"),
        ("max_workers: !!int ''", "c.yaml:1: max_workers: found '': not a value of type int"),
        ("a: &a [*a]", "c.yaml:1: not YAML: nested too deeply, or within itself"),
        ("max_workers: .inf", "inf is not of type 'integer'"),
    ],
)
def test_a_launcher_file_that_means_harm_is_a_line(tmp_path, text, words):
    assert words in "\n".join(problems(tmp_path, text))
