"""Models that are never exported: other weights than recorded, or a file that differs from them."""

from dataclasses import replace

import numpy as np
import pytest

from tlsearch.base.errors import ConfigError, RecordError
from tlsearch.bundle.manifest import read_manifest
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.export import exporter as exporting
from tlsearch.training.export import formats, soundness
from tlsearch.training.export.exporter import export_bundle
from tlsearch.training.export.whole_model import restore_recorded
from tlsearch.training.export.whole_model import score_on_test as score_of_test

pytestmark = pytest.mark.training


def test_weights_that_score_otherwise_than_recorded_are_not_exported(trained, tmp_path):
    request, value = trained
    epoch = load_checkpoint(request.checkpoint).epoch
    other = replace(request, formats=("keras",), out=tmp_path / "bundle", recorded={epoch: 0.1})
    message = (
        rf"best\.npz: accuracy {value:.4f} on the validation split, but the journal says 0\.1000"
    )
    with pytest.raises(RecordError, match=message):
        export_bundle(other)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_never_replaced(trained, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").touch()
    with pytest.raises(ConfigError, match="exists and is not a bundle"):
        export_bundle(replace(trained[0], out=tmp_path / "photos"))
    assert (tmp_path / "photos" / "mine.jpg").exists()


@pytest.fixture
def scramble(monkeypatch):
    """Make a format's writer write a head that differs from the trained one."""

    def of(form):
        honest = formats.WRITERS[form]

        def wrong(model, path):
            dense = model.square.get_layer("head").get_layer("logits")
            kernel = dense.kernel.numpy()
            dense.kernel.assign(np.roll(kernel, 1, axis=1))
            honest(model, path)
            dense.kernel.assign(kernel)

        monkeypatch.setitem(formats.WRITERS, form, wrong)

    return of


def test_a_file_of_a_network_that_amplifies_rounding_says_so(trained, tmp_path, monkeypatch):
    honest = formats.WRITERS["litert"]
    restored = restore_recorded(trained[0].checkpoint, trained[0].data, {})
    first = restored.validation[:, 0]
    steepest = (first * (1 - first)).max()  # of the first class's probability by its logit

    def slightly_off(model, path):
        bias = model.square.get_layer("head").get_layer("logits").bias
        before = bias.numpy()
        bias.assign(before + np.float32([3e-4 / steepest, 0, 0]))
        try:
            honest(model, path)
        finally:
            bias.assign(before)

    monkeypatch.setitem(formats.WRITERS, "litert", slightly_off)
    monkeypatch.setattr(soundness, "ROUNDING_FACTOR", 1e9)
    request = replace(trained[0], formats=("litert",), out=tmp_path / "bundle")
    (file,) = export_bundle(request).manifest.artifacts
    assert 1e-4 < file.parity < 1e-3
    assert file.rounding == pytest.approx(restored.rounding)
    reason = "differs by more than usual, because this network amplifies rounding: its own"
    change = f"change by {file.rounding:.1e} when every pixel value grows by a millionth"
    card = (request.out / "model_card.md").read_text()
    assert f"model.tflite: {reason} probabilities {change}" in card


def test_a_conversion_that_changes_the_model_is_not_exported(trained, tmp_path, scramble):
    scramble("litert")
    out = tmp_path / "bundle"
    with pytest.raises(RecordError, match=r"nothing was exported: .*conversion to litert broke"):
        export_bundle(replace(trained[0], formats=("litert",), out=out))
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_reloaded_is_not_exported(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(
        formats.WRITERS, "litert", lambda model, path: path.write_bytes(b"no model")
    )
    with pytest.raises(
        RecordError, match=r"model\.tflite: cannot be used in a clean pro"
    ) as refused:
        export_bundle(replace(trained[0], formats=("litert",), out=tmp_path / "bundle"))
    assert str(tmp_path) not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_format_that_fails_is_left_out_and_the_others_stay(
    trained, tmp_path, monkeypatch, scramble
):
    def refuse(model, path):
        path.mkdir()
        raise ValueError("no such operation\nand much more")

    monkeypatch.setitem(formats.WRITERS, "saved_model", refuse)
    scramble("litert_int8")
    asked = ("saved_model", "keras", "litert_int8")
    manifest = export_bundle(replace(trained[0], formats=asked, out=tmp_path / "bundle")).manifest
    assert read_manifest(tmp_path / "bundle") == manifest
    assert [artifact.format for artifact in manifest.artifacts] == ["keras"]
    assert manifest.left_out["saved_model"] == (
        "saved_model: the conversion to saved_model failed (ValueError: no such operation)"
    )
    assert "the cause is the rounding of its weights" in manifest.left_out["litert_int8"]
    left = {path.name for path in (tmp_path / "bundle").iterdir()}
    assert left == {"model.keras", "manifest.json", "labels.json", "model_card.md"}
    card = (tmp_path / "bundle" / "model_card.md").read_text()
    assert "Left out: litert_int8: model_int8.tflite: accuracy 0." in card


def test_where_no_format_passes_every_reason_is_told(trained, tmp_path, monkeypatch):
    def refuse(model, path):
        raise ValueError("no such operation")

    for form in ("keras", "litert"):
        monkeypatch.setitem(formats.WRITERS, form, refuse)
    request = replace(trained[0], formats=("keras", "litert"), out=tmp_path / "bundle")
    with pytest.raises(RecordError) as refused:
        export_bundle(request)
    assert [line.split(": ")[:2] for line in str(refused.value).splitlines()] == [
        ["nothing was exported", "keras"],
        ["nothing was exported", "litert"],
    ]
    assert not list(tmp_path.iterdir())


def test_weights_that_score_otherwise_than_recorded_never_see_the_test_split(
    trained, tmp_path, monkeypatch
):
    request = replace(trained[0], formats=("keras",), out=tmp_path / "bundle")
    seen = []
    images = type(request.data).images
    monkeypatch.setattr(
        type(request.data), "images", lambda data, split: seen.append(split) or images(data, split)
    )
    epoch = load_checkpoint(request.checkpoint).epoch
    with pytest.raises(RecordError, match="on the validation split, but the journal says"):
        export_bundle(replace(request, recorded={epoch: 0.1}), score_test=score_of_test)
    assert set(seen) == {"train", "validation"}
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_extra(trained, tmp_path, monkeypatch):
    def missing(model, path):
        raise ModuleNotFoundError("No module named 'tf2onnx'", name="tf2onnx")

    monkeypatch.setitem(formats.WRITERS, "onnx", missing)
    with pytest.raises(ConfigError, match=r"onnx needs tf2onnx; run `pip install 'tf2onnx>=1.17'`"):
        exporting.export_bundle(replace(trained[0], formats=("onnx",), out=tmp_path / "bundle"))
