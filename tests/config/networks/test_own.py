"""A user's network as the driver sees it: described by its file, without TensorFlow."""

import json
import zipfile
from dataclasses import asdict

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.config.load import from_mapping, parse
from tlsearch.config.networks.anatomy import ANATOMIES
from tlsearch.config.networks.lookup import full_name, known_row, row_of
from tlsearch.config.networks.own import DESCRIPTION, Description
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.live.events import describe_configuration
from tlsearch.results.rank.leaderboard import requested_values
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.preflight import question_of
from tlsearch.search.trial.prepared_images import require_weight_files
from tlsearch.search.trial.weight_files import file_digests

PLAIN = Description("net.keras", "tf", "OWBODWBOD", 64, False, False, 10**6, 10**4)


def file(path, description=PLAIN, **more):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(DESCRIPTION, json.dumps(asdict(description) | more))
    return str(path)


@pytest.fixture
def network(tmp_path):
    return file(tmp_path / "net-0123.keras")


def space(network, px=64, **more):
    return {"data": {"kind": "digits", "image_px": px}, "space": {"backbone": network, **more}}


def test_its_row_says_what_its_file_says(network):
    row = row_of(network)
    assert full_name(network) == network
    assert (row.name, row.preprocess, row.layers) == (network, "tf", 9)
    assert (row.multiply_adds, row.parameters, row.default_weights) == (10**6, 10**4, "shipped")
    assert str(row.shipped_path) == network


@pytest.mark.parametrize("extra", ["", "OO"])
def test_behind_layers_of_preprocessing_it_has_the_blocks_of_a_known_network(tmp_path, extra):
    known = ANATOMIES["ResNet50"]
    about = Description("net", "none", extra + known.letters, 64, False, False, 1, 1)
    found = row_of(file(tmp_path / "net.keras", about)).anatomy
    assert (found.block, found.block_layers) == (known.block, known.block_layers)
    assert found.letters == extra + known.letters


def test_its_blocks_are_refused_where_they_are_not_known(network):
    with pytest.raises(ConfigError, match=r"space.unfrozen_blocks.* net-0123\.keras are not known"):
        from_mapping(space(network, unfrozen_blocks=[0, 2]))
    known = from_mapping(space(network, unfrozen_layers=[0, 4])).space
    assert known.prefix_depths(network) == (Depth(0), Depth(4))
    with pytest.raises(ConfigError, match="nothing trains in the last 3 layers of net-0123"):
        from_mapping(space(network, unfrozen_layers=[0, 3]))


def test_a_network_of_one_size_takes_no_other(tmp_path):
    fixed = file(tmp_path / "fixed.keras", fixed=True)
    with pytest.raises(ConfigError, match=r"image_px: found 96, but fixed\.keras takes 64 alone"):
        from_mapping(space(fixed, px=96))
    assert from_mapping(space(fixed)).space.backbone.values == (fixed,)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./my.keras", "<text>:2: space.backbone: ./my.keras: no such file"),
        ("./my.keras#tf", "<text>:2: space.backbone: ./my.keras: no such file"),
        ("my.kera", "<text>:2: space.backbone: unknown backbone 'my.kera', known: strokes"),
    ],
)
def test_a_file_that_is_not_there_is_told_by_its_line(name, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        parse(f"data: {{kind: digits}}\nspace: {{backbone: {name}}}")
    assert caught.value.problems[0].startswith(says)


def test_it_is_asked_for_on_every_node_and_its_digest_is_recorded(network, tmp_path):
    config = from_mapping({**space(network), "cache": str(tmp_path)})
    (path,) = question_of(config, StudyDirectory(tmp_path / "study")).files
    assert str(path) == network
    assert list(file_digests(config)) == [network]
    assert list(file_digests(from_mapping(space(network, weights="none")))) == [network]


def test_it_has_no_weights_of_imagenet(network):
    with pytest.raises(ConfigError, match=r"net-0123\.keras is a network of your own, use default"):
        require_weight_files(from_mapping(space(network, weights="imagenet")))


def test_a_study_whose_network_is_gone_can_be_read_and_not_searched(network):
    config = from_mapping(space(network, unfrozen_layers=[0, 4]))
    trial = TrialConfig(backbone=network, unfrozen_layers=4, fine_tune_lr=1e-3)
    assert requested_values(trial.to_json())["backbone"] == "net-0123.keras"
    assert describe_configuration(trial.to_json()) == "net-0123.keras unfrozen 4"
    row_of(network).shipped_path.unlink()
    assert known_row(network) is None
    values = config.model_dump(mode="json", exclude_none=True)
    assert from_mapping(values, recorded=True) == config
    assert trial.effective.backbone == network
    with pytest.raises(ConfigError, match="no such file"):
        from_mapping(values)
    with pytest.raises(ConfigError, match="this stored network is not on this machine"):
        row_of(network)
