"""A small real study's trial, exported in every format and verified."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from tlsearch.base.errors import DataError, RecordError
from tlsearch.bundle.evaluate import evaluate
from tlsearch.bundle.export_request import ExportRequest
from tlsearch.bundle.manifest import read_manifest
from tlsearch.bundle.open_bundle import open_model
from tlsearch.bundle.predict import predict_files
from tlsearch.bundle.reload_check import CleanProcess
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.config.dataset import Data, Splits
from tlsearch.data.sources import prepare
from tlsearch.results.rank.interval import wilson
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.epoch.executor import shared_executor
from tlsearch.training.export.exporter import export_bundle, export_file
from tlsearch.training.export.whole_model import prepare as prepare_export
from tlsearch.training.export.whole_model import restore_recorded
from tlsearch.training.export.whole_model import score_on_test as score_of_test
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

CLASSES = ["blue", "green", "red"]


def test_the_manifest_says_which_pretrained_network_it_came_from(bundle, trained):
    network = load_checkpoint(trained[0].checkpoint).network
    assert network is not None
    assert bundle[0].network == network


def test_pictures_of_sixteen_bits_are_seen_by_a_bundle_as_in_training(
    small_trial, cache, store, tmp_path
):
    root, rng = tmp_path / "scans", np.random.default_rng(1)
    for name, most in (("clear", 4095), ("dark", 900)):
        (root / name).mkdir(parents=True)
        for number in range(24):
            grey = rng.integers(0, most, (32, 32), dtype=np.uint16)
            Image.fromarray(grey).save(root / name / f"{number:02d}.png")
    source = Data(path=root, image_px=32, splits=Splits(train=24, validation=12, test=12))
    data = prepare(source, cache)
    *_, last = train(small_trial(0, epochs=1), data, store)
    last.snapshot().save(tmp_path / "best.npz", weights_only=True)
    request = ExportRequest(
        tmp_path / "best.npz", data, source, ("keras",), tmp_path / "bundle", {}
    )
    manifest = export_bundle(request).manifest
    assert manifest.bits == {0: 12}
    assert all(artifact.parity < 1e-3 for artifact in manifest.artifacts)
    lone = shutil.copy(tmp_path / "bundle" / "model.keras", tmp_path / "lone.keras")
    files = [file for name in ("clear", "dark") for file in sorted((root / name).iterdir())]
    for model in (tmp_path / "bundle", lone):
        guesses = [found.ranking[0][0] for found in predict_files(model, files)]
        right = np.mean(
            [guess == file.parent.name for guess, file in zip(guesses, files, strict=True)]
        )
        assert evaluate(model, root).scores["accuracy"] == pytest.approx(right)


def test_every_file_scores_what_the_trial_scored(bundle, trained):
    manifest, _ = bundle
    assert manifest.trained_accuracy == pytest.approx(trained[1], abs=1e-9)
    for artifact in manifest.artifacts:
        assert trained[1] - artifact.accuracy <= 1 / 18 + 1e-9
        if artifact.row.tolerance is not None:
            assert artifact.parity <= 1e-4
            assert artifact.agreement == 1.0


def test_the_bundle_holds_what_its_manifest_says(bundle):
    manifest, out = bundle
    assert read_manifest(out) == manifest
    named = {"manifest.json", "labels.json", "model_card.md"}
    assert {path.name for path in out.iterdir()} == named | {a.path for a in manifest.artifacts}
    assert json.loads((out / "labels.json").read_text()) == CLASSES
    assert "| blue |" in (out / "model_card.md").read_text()


@pytest.mark.parametrize("form", list(EXPORT_FORMATS))
def test_every_file_labels_pictures_of_any_size(bundle, folder, form):
    found = list(predict_files(bundle[1], [folder], top=2, form=form))
    assert len(found) == 72
    right = sum(p.ranking[0][0] == p.path.parent.name for p in found)
    assert right / len(found) >= 0.8  # by chance, a third
    assert all(len(p.ranking) == 2 and p.ranking[0][1] >= p.ranking[1][1] for p in found)


@pytest.mark.parametrize("form", list(EXPORT_FORMATS))
def test_the_batch_size_is_free(bundle, form):
    model = open_model(bundle[1], form)
    pictures = [np.full((32, 32, 3), shade, np.uint8) for shade in (10, 90, 200)]
    together = model(pictures)
    alone = np.concatenate([model([picture]) for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-4 if "int8" not in form else 2e-2)


@pytest.mark.parametrize("form", ["keras", "saved_model", "litert", "onnx"])
def test_outputs_are_named_probabilities(bundle, form):
    path = bundle[1] / EXPORT_FORMATS[form].file
    if form == "keras":
        assert keras.models.load_model(path).output_names == ["probabilities"]
    elif form == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(str(path))
        assert [o.name for o in session.get_outputs()] == ["probabilities"]
        assert session.get_inputs()[0].shape[0] == "batch"
    else:
        assert signature_outputs(form, path) == ["probabilities"]


def signature_outputs(form, path):
    import tensorflow as tf

    if form == "saved_model":
        return list(tf.saved_model.load(str(path)).signatures["serving_default"].structured_outputs)
    interpreter = tf.lite.Interpreter(model_path=str(path))
    return interpreter.get_signature_list()["serving_default"]["outputs"]


def test_evaluation_of_the_bundle_counts_every_picture(bundle, folder):
    found = evaluate(bundle[1], folder, "onnx")
    assert all(np.isfinite(value) for value in found.scores.values())
    assert found.images == 72
    assert np.sum(found.confusion) == 72
    assert found.scores["accuracy"] == pytest.approx(np.trace(found.confusion) / 72)


def test_a_folder_with_the_classes_old_names_is_evaluated_by_the_searchs_map(trained, tmp_path):
    request, _ = trained
    names = {"gr*": "green", "red": "rouge"}
    source = request.pictures_from.model_copy(update={"classes": names})
    data = prepare(source, tmp_path / "cache")
    plain = replace(request, data=data, pictures_from=source, formats=("keras",))
    export_bundle(replace(plain, out=tmp_path / "bundle"))
    found = evaluate(tmp_path / "bundle", source.path)
    assert [row.label for row in found.classes] == ["blue", "green", "rouge"]
    assert found.images == 72
    (tmp_path / "new").mkdir()
    for old, new in (("blue", "blue"), ("green", "grass"), ("red", "rouge")):
        (tmp_path / "new" / new).symlink_to(source.path / old)
    assert evaluate(tmp_path / "bundle", tmp_path / "new").scores == found.scores
    (tmp_path / "new" / "pink").symlink_to(source.path / "red")
    with pytest.raises(DataError, match="the model does not know: pink"):
        evaluate(tmp_path / "bundle", tmp_path / "new")


def test_a_clean_process_times_batches(bundle):
    form = EXPORT_FORMATS["litert"]
    with CleanProcess(form, 1) as process:
        process.load(bundle[1] / form.file, 32, (1, 4))
        checked = process.answer()
    assert set(checked.latency_ms) == {"1", "4"}
    assert all(ms > 0 for ms in checked.latency_ms.values())


def test_a_new_bundle_takes_the_place_of_an_old_one(trained, bundle, tmp_path):
    out = shutil.copytree(bundle[1], tmp_path / "bundle")
    again = export_bundle(replace(trained[0], formats=("litert",), out=out)).manifest
    assert read_manifest(tmp_path / "bundle") == again
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_single_file_knows_its_labels(trained, folder, tmp_path):
    out = tmp_path / "new" / "one.keras"
    export_file(replace(trained[0], formats=("keras",), out=out))
    assert [path.name for path in out.parent.iterdir()] == ["one.keras"]
    found = list(predict_files(out, [folder / "red"]))
    assert {label for p in found for label, _ in p.ranking} == set(CLASSES)


def test_an_export_that_was_prepared_builds_and_traces_nothing(trained):
    request, score = trained
    prepare_export(load_checkpoint(request.checkpoint).trial, len(request.data.classes))
    kept, built = shared_executor(), load_backbone.cache_info().misses
    graphs = kept.passes.values()
    found = restore_recorded(request.checkpoint, request.data, {})
    right = found.validation.argmax(axis=1) == request.data.split_labels("validation")
    assert right.mean() == pytest.approx(score)
    assert load_backbone.cache_info().misses == built
    assert {*map(id, kept.passes.values())} == {*map(id, graphs)}


def test_rounding_moves_the_probabilities_of_a_network_a_little(trained):
    request, _ = trained
    found = restore_recorded(request.checkpoint, request.data, {})
    assert 0 < found.rounding < EXPORT_FORMATS["keras"].tolerance


def test_the_test_score_is_the_trials_own_metric(trained):
    request, _ = trained
    found = score_of_test(restore_recorded(request.checkpoint, request.data, {}))
    assert (found["metric"], found["interval"]) == ("accuracy", "Wilson")
    assert (found["low"], found["high"]) == wilson(found["value"], 18)
    assert found["evaluation"]["scores"]["accuracy"] == found["value"]
    assert np.sum(found["evaluation"]["confusion"]) == found["evaluation"]["images"] == 18


@pytest.mark.parametrize("verify", [True, False])
def test_code_inside_a_model_file_is_never_run(bundle, tmp_path, verify):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle[1], copy)
    inputs = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Lambda(lambda x: x * 2)(pooled)
    keras.Model(inputs, outputs).save(copy / "model.keras")
    with pytest.raises(RecordError, match=r"changed since|Lambda, expected only Keras layers"):
        open_model(copy, "keras", verify)
