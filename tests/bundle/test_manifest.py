import json
import os

import pytest

from tlsearch.base.digests import sha256
from tlsearch.base.errors import RecordError
from tlsearch.bundle.manifest import (
    Artifact,
    Manifest,
    incomplete_error,
    is_replaceable,
    locate,
    read_manifest,
)


def manifest_of(*artifacts):
    return Manifest(
        labels=("cat", "dog"),
        image_px=32,
        input="",
        output="",
        resize="",
        trained_accuracy=0.9,
        pictures=10,
        backbone="strokes",
        weights="default",
        weights_licence="Apache-2.0",
        data_fingerprint="x",
        versions={},
        artifacts=artifacts,
    )


def artifact_of(path, form="keras", digest=""):
    return Artifact(
        format=form, path=path, bytes=3, sha256=digest, parity=0, agreement=1, accuracy=0.9
    )


def test_a_manifest_of_before_is_read(tmp_path):
    """Version 0.1.0 recorded neither the inputs nor the orientation nor the test score."""
    plain = json.loads(manifest_of(artifact_of("model.keras")).model_dump_json())
    del plain["orientation"], plain["test"], plain["artifacts"][0]["input"]
    (tmp_path / "manifest.json").write_text(json.dumps(plain))
    assert "rounding" not in plain["artifacts"][0]
    found = read_manifest(tmp_path)
    assert (found.test, found.orientation, found.artifacts[0].input) == (None, "", None)


def test_it_reads_back_as_written(tmp_path):
    manifest = manifest_of(artifact_of("model.keras"), artifact_of("model.onnx", "onnx"))
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert manifest.artifact(None).format == "keras"
    assert manifest.artifact("onnx").path == "model.onnx"


def test_a_manifest_of_before_says_nothing_of_sixteen_bits(tmp_path):
    manifest = manifest_of(artifact_of("model.keras")).model_copy(update={"bits": {0: 12}})
    manifest.write(tmp_path)
    assert read_manifest(tmp_path).bits == {0: 12}
    text = (tmp_path / "manifest.json").read_text()
    old = {key: value for key, value in json.loads(text).items() if key != "bits"}
    (tmp_path / "manifest.json").write_text(json.dumps(old))
    assert read_manifest(tmp_path).bits is None


def test_a_manifest_from_before_formats_were_left_out_is_read(tmp_path):
    manifest = manifest_of(artifact_of("model.keras"))
    plain = json.loads(manifest.model_dump_json())
    del plain["left_out"]
    (tmp_path / "manifest.json").write_text(json.dumps(plain))
    assert read_manifest(tmp_path) == manifest


def test_a_bundle_that_lacks_a_format_says_why():
    assert incomplete_error({}) is None
    error = incomplete_error({"onnx": "too new", "litert": "too old"})
    assert error.exit_code == 4
    assert str(error).splitlines() == [
        "left out of the bundle: onnx: too new",
        "left out of the bundle: litert: too old",
    ]


def test_a_format_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(RecordError, match="no litert in this bundle, which holds: keras"):
        manifest_of(artifact_of("model.keras")).artifact("litert")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "not a bundle"),
        ("", "damaged"),
        ("{}", "damaged"),
        ("[1, 2]", "damaged"),
        ('{"labels": ["a"], "extra": 1}', "damaged"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, text, part):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RecordError, match=part):
        read_manifest(tmp_path)


def test_an_unknown_format_is_refused(tmp_path):
    manifest_of(artifact_of("x", "pickle")).write(tmp_path)
    with pytest.raises(RecordError, match="does not know: pickle"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/model.keras", "a/../../model.keras"])
@pytest.mark.parametrize("verify", [True, False])
def test_paths_cannot_leave_the_bundle(tmp_path, path, verify):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    with pytest.raises(RecordError, match="points outside the bundle"):
        locate(bundle, artifact_of(path), verify)


def test_a_link_cannot_leave_the_bundle(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (tmp_path / "secret").write_text("x")
    os.symlink(tmp_path / "secret", bundle / "model.keras")
    with pytest.raises(RecordError, match=r"model\.keras: a link"):
        locate(bundle, artifact_of("model.keras"))


def test_a_changed_file_is_refused_unless_trusted(tmp_path):
    file = tmp_path / "model.keras"
    file.write_bytes(b"one")
    artifact = artifact_of("model.keras", digest=sha256(file))
    assert locate(tmp_path, artifact) == file.resolve()
    file.write_bytes(b"two")
    with pytest.raises(RecordError, match="changed since it was exported"):
        locate(tmp_path, artifact)
    assert locate(tmp_path, artifact, verify=False) == file.resolve()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"model\.keras: named in the manifest"):
        locate(tmp_path, artifact_of("model.keras"))


@pytest.mark.parametrize(
    ("files", "replaceable"),
    [
        ({}, True),
        ({"manifest.json": "ours", "labels.json": "[]", "model.keras": ""}, True),
        ({"manifest.json": "ours"}, True),
        ({"manifest.json": "{", "labels.json": "[]"}, True),
        ({"manifest.json": '{"manifest_version": 3}'}, False),  # a browser extension
        ({"manifest.json": '{"manifest_version": 3}', "thesis.txt": "years of work"}, False),
        ({"manifest.json": "ours", "labels.json": "[]", "thesis.txt": "years of work"}, False),
        ({"thesis.txt": "years of work"}, False),
    ],
)
def test_a_folder_gives_way_to_a_bundle_only_where_nothing_is_lost(tmp_path, files, replaceable):
    out = tmp_path / "out"
    out.mkdir()
    for name, text in files.items():
        (out / name).write_text(text)
    if files.get("manifest.json") == "ours":
        manifest_of(artifact_of("model.keras")).write(out)
    assert is_replaceable(out) is replaceable


def test_a_file_gives_no_way_to_a_bundle_and_nothing_does(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert not is_replaceable(tmp_path / "thesis.txt")
    assert is_replaceable(tmp_path / "not there")
