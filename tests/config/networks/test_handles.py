"""Presets by their address on a hub, their folder or KerasHub's name, without TensorFlow."""

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.config.load import from_mapping, parse
from tlsearch.config.networks.lookup import full_name, known_row, row_of
from tlsearch.config.networks.presets import DINOV3_LICENCE
from tlsearch.config.requirements import require_packages, warn_before_search
from tlsearch.search.trial.weight_files import file_digests

DINOV2 = {
    "model_type": "dinov2",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "patch_size": 14,
    "image_size": 518,
    "layer_norm_eps": 1e-6,
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.fixture
def preset(tmp_path):
    """Return a preset's folder as written by a hub's package."""
    folder = tmp_path / "preset"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(DINOV2))
    return folder


@pytest.fixture
def hubs(monkeypatch, preset, tmp_path):
    """Fake KerasHub and the hubs' packages; they return the preset's files or raise `error`."""
    asked = []

    def given(handle, path, error=None):
        asked.append(handle)
        if hubs.error is not None:
            raise hubs.error
        return str(preset / path)

    modules = {name: ModuleType(name) for name in ("keras_hub", "huggingface_hub", "kagglehub")}
    hubs = modules["keras_hub"]
    hubs.error, hubs.asked = None, asked
    modules["huggingface_hub"].hf_hub_download = lambda repo_id, filename: given(repo_id, filename)
    modules["kagglehub"].model_download = given
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("HOME", str(tmp_path))
    return hubs


def space(name, px=224, **more):
    return {"data": {"kind": "digits", "image_px": px}, "space": {"backbone": name, **more}}


def test_the_name_of_keras_hub_is_that_of_the_catalogue():
    config = from_mapping(space(["hub:dinov2_small", "strokes"], unfrozen_blocks=[0, 2]))
    assert config.space.backbone.values == ("dinov2_small", "strokes")
    with pytest.raises(ConfigError, match="hub:dinov2_smal: no such preset, did you mean 'dinov2_"):
        full_name("hub:dinov2_smal")


@pytest.mark.parametrize("handle", ["hf://user/dino", "kaggle://user/dino/keras/small/2"])
def test_a_network_on_a_hub_is_described_once_and_then_known_without_it(handle, hubs):
    config = from_mapping(space(handle, unfrozen_blocks=[0, 2]))
    assert config.space.backbone.values == (handle,)
    hubs.error = OSError("no network")
    assert full_name(handle) == handle
    assert hubs.asked == [handle.partition("://")[2]]
    row, known = row_of(handle), row_of("dinov2_small")
    assert (row.anatomy, row.spec, row.licence) == (
        *(known.anatomy, known.spec),
        f"that of {handle}",
    )
    assert row.options["preset"] == row.name == handle


@pytest.mark.parametrize(
    ("handle", "error", "says"),
    [
        ("hf://user/gone", OSError("404 Client Error"), "404 Client Error.; check its name"),
        ("hf://user/own", OSError("Access to it is gated"), "accept its terms .* set HF_TOKEN"),
        ("kaggle://a/b/keras/c", OSError("403 Client Error"), "accept its terms"),
        ("kaggle://a/b/keras/c", OSError("no route"), "where the hub can be reached and set HF_HO"),
        ("hf://user", None, "expected hf://USER/REPOSITORY or kaggle://USER/MODEL"),
        ("kaggle://a/b", None, "expected hf://USER/REPOSITORY or kaggle://USER/MODEL/keras/VARI"),
    ],
)
def test_what_a_hub_does_not_give_is_told_in_a_line(handle, error, says, hubs):
    hubs.error = error
    with pytest.raises(ConfigError, match=rf"^<text>:2: space.backbone: {handle}: .*{says}") as it:
        parse(f"data: {{kind: digits}}\nspace: {{backbone: {handle}}}")
    assert len(it.value.problems) == 1


def test_a_folder_is_a_preset_whose_files_are_recorded(preset, monkeypatch):
    monkeypatch.chdir(preset.parent)
    (preset / "preprocessor_config.json").write_text(json.dumps(IMAGENET))
    config = from_mapping(space("./preset", unfrozen_blocks=[0, 2]))
    assert config.space.backbone.values == (str(preset),)
    assert (row_of(str(preset)).preprocess, list(file_digests(config))) == ("torch", [str(preset)])
    (preset / "config.json").unlink()
    assert known_row(str(preset)) is None
    values = config.model_dump(mode="json", exclude_none=True)
    assert from_mapping(values, recorded=True) == config


@pytest.mark.parametrize(
    ("name", "held", "says"),
    [
        ("config.json", {**DINOV2, "model_type": "bert"}, r"config\.json: found bert, expected on"),
        ("config.json", {"model_type": "vit"}, r"config\.json: lacks 'image_size'"),
        ("config.json", [1], r"config\.json: "),
        (
            "preprocessor_config.json",
            {"image_mean": [0, 0, 0], "image_std": [2, 2, 2]},
            r"preprocessor_config\.json takes .0\.0, 0\.0, 0\.0. from pixels and divides them by",
        ),
    ],
)
def test_a_folder_of_something_else_says_what_it_is(name, held, says, preset):
    (preset / name).write_text(json.dumps(held))
    with pytest.raises(ConfigError, match=rf"preset: .*{says}"):
        full_name(str(preset))


@pytest.mark.parametrize(
    ("scale", "offset", "kind"),
    [
        (1 / 127.5, -1, "tf"),
        ([0.017125, 0.017507, 0.017429], [-2.117904, -2.035714, -1.804444], "torch"),
    ],
)
def test_keras_hubs_own_scaling_is_read(scale, offset, kind, preset):
    converter = {"class_name": "ImageConverter", "config": {"scale": scale, "offset": offset}}
    (preset / "image_converter.json").write_text(json.dumps(converter))
    assert row_of(full_name(str(preset))).preprocess == kind


def test_a_size_that_patches_do_not_divide_names_the_next_ones():
    with pytest.raises(ConfigError, match="found 225, but dinov2_small takes multiples of 14: try"):
        from_mapping(space("dinov2_small", px=225))


def test_keras_hub_is_asked_for_where_its_weights_are_taken(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    config = from_mapping(space(["dinov2_small", "strokes"]))
    with pytest.raises(
        ConfigError, match=r"space.backbone: dinov2_small needs keras_hub; run `pip inst"
    ):
        require_packages(config)
    require_packages(from_mapping(space(["dinov2_small", "strokes"], weights="none")))
    require_packages(from_mapping(space("strokes")))


def test_a_licence_with_conditions_is_told_before_its_weights_are_taken(caplog):
    name = "dinov3_small"
    warn_before_search(from_mapping(space([name, "dinov2_small"])))
    (line,) = caplog.messages
    assert line.startswith(
        f"{name}: its weights are under the {DINOV3_LICENCE}, whose conditions also apply to "
        "models trained from them; read it before you download the weights or pass a model on ("
    )
    warn_before_search(from_mapping(space(name, weights="none")))
    assert len(caplog.messages) == 1
