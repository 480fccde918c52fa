"""Bundles from a third party: nothing in them runs without consent or reaches outside of them."""

import json
import logging
import os

import numpy as np
import pytest

from tlsearch.base.digests import sha256
from tlsearch.base.errors import RecordError
from tlsearch.bundle import runtimes
from tlsearch.bundle.manifest import Artifact, Manifest, locate, read_manifest
from tlsearch.bundle.open_bundle import OpenModel, open_model
from tlsearch.config.catalog import EXPORT_FORMATS

FACTS = {
    "labels": ("cat", "dog"),
    "image_px": 32,
    "input": "",
    "output": "",
    "resize": "",
    "trained_accuracy": 0.9,
    "pictures": 10,
    "backbone": "strokes",
    "weights": "default",
    "weights_licence": "Apache-2.0",
    "data_fingerprint": "x",
    "versions": {},
}
MEASURED = {"bytes": 3, "parity": 0.0, "agreement": 1.0, "accuracy": 0.9}


@pytest.fixture
def bundle_of(tmp_path):
    def make(*forms):
        artifacts = []
        for form in forms:
            path = tmp_path / EXPORT_FORMATS[form].file
            if form == "saved_model":
                (path / "variables").mkdir(parents=True)
                (path / "saved_model.pb").write_bytes(b"graph")
                (path / "variables/variables.index").write_bytes(b"values")
            else:
                path.write_bytes(form.encode())
            artifacts.append(Artifact(format=form, path=path.name, sha256=sha256(path), **MEASURED))
        Manifest(**FACTS, artifacts=tuple(artifacts)).write(tmp_path)
        return tmp_path

    return make


@pytest.mark.parametrize("safe", ["keras", "litert", "onnx"])
def test_a_saved_model_gives_way_to_every_format_that_is_no_program(bundle_of, loaded, safe):
    open_model(bundle_of("saved_model", safe))
    assert loaded == [EXPORT_FORMATS[safe].file]


def test_a_saved_model_alone_is_opened_on_request_only_and_told(bundle_of, loaded, caplog):
    bundle = bundle_of("saved_model")
    with pytest.raises(RecordError, match="--artifact saved_model"):
        open_model(bundle)
    assert loaded == []
    caplog.set_level(logging.WARNING)
    open_model(bundle, "saved_model")
    open_model(bundle / "saved_model")  # naming the file is consent
    assert loaded == ["saved_model", "saved_model"]
    assert all("may read and write files" in record.message for record in caplog.records)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("link", ["saved_model", "saved_model/variables", "saved_model/assets"])
def test_no_link_in_a_bundle_is_followed(bundle_of, tmp_path_factory, link, verify):
    bundle = bundle_of("saved_model")
    away = tmp_path_factory.mktemp("away") / "there"
    path = bundle / link
    if path.exists():
        path.rename(away)
    else:
        away.mkdir()
    path.symlink_to(away)
    with pytest.raises(RecordError, match=f"{link}: a link"):
        locate(bundle, read_manifest(bundle).artifacts[0], verify)


def test_a_manifest_that_is_a_link_is_not_read(bundle_of, tmp_path_factory):
    bundle = bundle_of("keras")
    away = (bundle / "manifest.json").rename(tmp_path_factory.mktemp("away") / "there")
    (bundle / "manifest.json").symlink_to(away)
    with pytest.raises(RecordError, match=r"manifest\.json: a link"):
        open_model(bundle)


def test_a_pipe_in_a_bundle_is_refused_and_not_waited_for(bundle_of):
    bundle = bundle_of("saved_model", "keras")
    (bundle / "model.keras").unlink()
    os.mkfifo(bundle / "model.keras")
    os.mkfifo(bundle / "saved_model/pipe")
    for artifact in read_manifest(bundle).artifacts:
        with pytest.raises(RecordError, match="neither a file nor a folder"):
            locate(bundle, artifact)


def test_a_file_beside_those_exported_is_refused(bundle_of):
    bundle = bundle_of("saved_model")
    (bundle / "saved_model/assets").mkdir()
    (bundle / "saved_model/assets/more").write_text("x")
    with pytest.raises(RecordError, match="changed since it was exported"):
        locate(bundle, read_manifest(bundle).artifacts[0])


def test_a_manifest_names_each_format_by_the_file_that_holds_it(bundle_of):
    bundle = bundle_of("keras", "litert")
    artifact = read_manifest(bundle).artifacts[0]
    with pytest.raises(RecordError, match=r"keras in model\.tflite, expected it in model\.keras"):
        locate(bundle, artifact.model_copy(update={"path": "model.tflite"}))


@pytest.mark.parametrize(
    "odd",
    [
        {"image_px": 0},
        {"image_px": -32},
        {"image_px": 10**9},
        {"labels": []},
        {"labels": ["cat", "cat"]},
        {"labels": [["cat"], "dog"]},
        {"pictures": -1},
        {"trained_accuracy": 1.5},
        {"bits": {"0": 99}},
        {"bits": {"-1": 8}},
        {"artifacts": []},
        {"artifacts": [{"format": "keras", "path": "model.keras", "sha256": "", **MEASURED}] * 2},
    ],
    ids=str,
)
def test_odd_values_in_a_manifest_are_refused_in_one_line(bundle_of, odd):
    path = bundle_of("keras") / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **odd}))
    with pytest.raises(RecordError, match=r"manifest\.json: damaged") as caught:
        read_manifest(path.parent)
    assert len(str(caught.value).splitlines()) == 1


def test_a_model_of_other_classes_than_its_labels_is_refused():
    model = OpenModel(("a", "b"), EXPORT_FORMATS["keras"], 4, lambda images: np.ones((1, 3)))
    with pytest.raises(RecordError, match="expected probabilities of 2 classes"):
        model([np.zeros((4, 4, 3), np.uint8)])


def test_what_a_runtime_raises_on_a_picture_is_an_error_of_the_file(tmp_path, monkeypatch):
    def opener(path, threads):
        def predict(images):
            raise ValueError("a shape\nand a stack")

        return predict

    monkeypatch.setitem(runtimes._OPENERS, "keras", opener)
    monkeypatch.setattr(runtimes, "require_self_contained", lambda path, form: None)
    run = runtimes.load(tmp_path / "model.keras", EXPORT_FORMATS["keras"])
    with pytest.raises(RecordError, match=r"model\.keras: cannot be run \(a shape\)$"):
        run(np.zeros((1, 4, 4, 3)))
