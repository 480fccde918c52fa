import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn import metrics as sk

from tlsearch.bundle import evaluate as evaluating
from tlsearch.bundle import predict as predicting
from tlsearch.bundle.evaluate import measure
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.cli.models.bundle_tables import print_evaluation
from tlsearch.config.catalog import EXPORT_FORMATS, METRICS
from tlsearch.data.depth import UNSTATED
from tlsearch.results.report.glossary import SCORES


def drawn(seed, classes, images=40):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images).astype(np.int32)
    raw = rng.uniform(0.01, 1, (images, classes))
    return labels, raw / raw.sum(axis=1, keepdims=True), tuple(map(str, range(classes)))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_classes_and_confusion_are_those_of_scikit_learn(seed, classes):
    labels, probabilities, names = drawn(seed, classes)
    guess, found = probabilities.argmax(axis=1), measure(labels, probabilities, names)
    places = range(classes)
    assert np.array_equal(found.confusion, sk.confusion_matrix(labels, guess, labels=places))
    theirs = sk.precision_recall_fscore_support(labels, guess, labels=places, zero_division=0)
    ours = [(c.precision, c.recall, c.f1, c.images) for c in found.classes]
    np.testing.assert_allclose(ours, np.transpose(theirs))


def test_the_printed_confusion_names_its_rows_and_columns(capsys):
    print_evaluation(measure(np.array([0, 0, 1]), np.eye(2)[[0, 1, 1]], ("cat", "dog")))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-4:]]
    assert lines[0] == ["true", "\\", "predicted", "cat", "dog"]
    assert lines[2:] == [["cat", "1", "1"], ["dog", "0", "1"]]


@pytest.mark.parametrize(
    ("classes", "tops"), [(2, []), (3, [2]), (4, [2, 3]), (5, [2, 3]), (6, [2, 3, 5])]
)
def test_top_k_is_told_where_it_can_miss(classes, tops):
    found = measure(*drawn(0, classes, images=200))
    top_names = [name for name in found.scores if name.startswith("top_")]
    assert top_names == [f"top_{k}_accuracy" for k in tops]
    values = [found.scores[name] for name in ("accuracy", *top_names)]
    assert values == sorted(values)
    assert values[-1] < 1


def test_prediction_and_evaluation_see_sixteen_bits_as_training_did(tmp_path, monkeypatch):
    for name, shade in (("dark", 1000), ("light", 3000)):
        (tmp_path / name).mkdir()
        grey = np.full((8, 8), shade, np.uint16)
        Image.fromarray(grey).save(tmp_path / name / "0.png")

    def brightness(images):
        light = images.reshape(len(images), -1).mean(axis=1) / 255
        return np.stack([1 - light, light], axis=1)

    model = OpenModel(("dark", "light"), EXPORT_FORMATS["onnx"], 8, brightness, bits={UNSTATED: 12})
    for module in (evaluating, predicting):
        monkeypatch.setattr(module, "open_model", lambda *asked: model)
    assert evaluating.evaluate(tmp_path, tmp_path).scores["accuracy"] == 1
    found = [*predicting.predict_files(tmp_path, [tmp_path / "light/0.png"])]
    label, probability = found[0].ranking[0]
    assert (label, probability) == ("light", pytest.approx((3000 >> 4) / 255))


def test_every_score_has_a_definition():
    scores = measure(*drawn(0, 6, images=200)).scores
    assert set(scores) == set(SCORES)
    assert set(METRICS) < set(scores)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_area_under_the_curve_is_left_out_where_a_class_is_not_shown():
    labels, probabilities, names = drawn(0, 3)
    assert "auc" not in measure(np.minimum(labels, 1), probabilities, names).scores
