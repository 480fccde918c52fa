import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from tlsearch.errors import DataError, RecordError
from tlsearch.training import export as exporting
from tlsearch.training.export import export_keras
from tlsearch.training.predict import predict_files
from tlsearch.training.trial import train

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def trained(small_trial, digits, store, tmp_path_factory):
    """The checkpoint of a trial that learned something, and the accuracy it reported."""
    folder = tmp_path_factory.mktemp("trained")
    trial = small_trial("all", dropout=0.0, epochs=2)
    *_, last = train(trial, digits, store)
    last.snapshot().save(folder / "best.npz", weights_only=True)
    return folder / "best.npz", last.value


@pytest.fixture(scope="module")
def exported(trained, digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "deep" / "model.keras"
    return out, export_keras(trained[0], digits, out, test=True)


def test_the_file_scores_what_the_trial_scored(exported, trained):
    _, report = exported
    assert report.validation == pytest.approx(trained[1], abs=1e-9)
    assert report.parity <= 1e-5
    assert report.test_images == 80


def test_it_takes_raw_pictures_of_any_size(exported, digits):
    model = keras.models.load_model(exported[0])
    probabilities = model(np.full((2, 50, 70, 3), 200, dtype=np.uint8)).numpy()
    assert probabilities.shape == (2, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_labels_are_inside(exported):
    with zipfile.ZipFile(exported[0]) as archive:
        assert json.loads(archive.read("labels.json")) == [str(d) for d in range(10)]


def test_a_file_that_differs_from_the_trial_is_not_exported(trained, digits, tmp_path, monkeypatch):
    honest = exporting.whole_model

    def wrong(network, trial):
        for variable in network.head.variables:
            variable.assign(variable * 1.1)
        model = honest(network, trial)
        model.save(tmp_path / "wrong.keras")
        for variable in network.head.variables:
            variable.assign(variable / 1.1)
        return keras.models.load_model(tmp_path / "wrong.keras")

    monkeypatch.setattr(exporting, "whole_model", wrong)
    with pytest.raises(RecordError, match="differs from the trained one"):
        export_keras(trained[0], digits, tmp_path / "model.keras", test=False)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.keras"]


@pytest.fixture
def pictures(digits, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for place, pixels in enumerate(digits.images("test")[:5]):
        Image.fromarray(pixels).save(folder / f"{place}.png")
    return folder


def test_predictions_name_the_classes(exported, pictures, digits):
    found = list(predict_files(exported[0], [pictures], top=2))
    assert [p.path.name for p in found] == [f"{i}.png" for i in range(5)]
    model = keras.models.load_model(exported[0])
    expected = model(digits.images("test")[:5]).numpy()
    for prediction, row in zip(found, expected, strict=True):
        assert len(prediction.ranking) == 2
        assert prediction.ranking[0][0] == str(row.argmax())
        assert prediction.ranking[0][1] == pytest.approx(row.max(), abs=1e-4)


def test_an_unreadable_picture_is_reported_and_the_rest_goes_on(exported, pictures):
    (pictures / "2.png").write_bytes(b"not a picture")
    found = list(predict_files(exported[0], [pictures]))
    assert [p.error is not None for p in found] == [False, False, True, False, False]
    assert "2.png: cannot be read" in found[2].error


def test_a_missing_picture_is_named(exported, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        list(predict_files(exported[0], [tmp_path / "none.png"]))


@pytest.mark.parametrize("content", [None, b"", b"text", "zip"])
def test_what_is_not_our_model_is_refused(content, tmp_path, pictures):
    path = tmp_path / "model.keras"
    if content == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("labels.json", "[]")
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match=r"model\.keras: (no such model|not a model exported)"):
        list(predict_files(path, [pictures]))
