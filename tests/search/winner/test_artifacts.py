import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tlsearch.bundle.evaluate import measure
from tlsearch.config.dataset import Data, Splits
from tlsearch.data.contact_sheet import contact_sheet
from tlsearch.data.sources import prepare
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.report.page_files import Artifacts
from tlsearch.search.trial.prepared_images import describe
from tlsearch.search.winner.artifacts import write_data, write_test, write_winner


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    splits = Splits(train=40, validation=50, test=60)
    cache = tmp_path_factory.mktemp("cache")
    return prepare(Data(kind="digits", image_px=16, splits=splits), cache)


def test_the_data_is_counted_by_split_and_class_and_sampled(data, tmp_path):
    write_data(tmp_path, data)
    about = json.loads((tmp_path / "data.json").read_text())
    assert {split: sum(counts.values()) for split, counts in about["images"].items()} == {
        "train": 40,
        "validation": 50,
        "test": 60,
    }
    assert set(about["samples"]) == set(data.classes)
    for files in about["samples"].values():
        assert len(files) == 3
        for file in files:
            assert Image.open(tmp_path / file).size == (16, 16)


@pytest.mark.parametrize(
    ("most", "classes", "each"), [(30, 10, 3), (25, 10, 2), (10, 10, 1), (4, 4, 1)]
)
def test_samples_of_very_many_classes_are_no_more_than_a_page_shows(
    data, tmp_path, monkeypatch, most, classes, each
):
    monkeypatch.setattr("tlsearch.search.winner.artifacts.MOST_SAMPLES", most)
    write_data(tmp_path, data)
    about = json.loads((tmp_path / "data.json").read_text())
    assert [len(files) for files in about["samples"].values()] == [each] * classes
    assert set(about["samples"]) <= set(data.classes)
    assert len(about["images"]["train"]) == 10


def test_what_was_left_out_and_moved_is_told(data, tmp_path):
    found = dataclasses.replace(
        data, unreadable=("a.png: cannot be read",), moved={"test": {"3": 2}}, notes=("a note",)
    )
    write_data(tmp_path / "artifacts", found)
    about = json.loads((tmp_path / "artifacts" / "data.json").read_text())
    assert about["unreadable"] == ["a.png: cannot be read"]
    assert about["moved"] == {"test": {"3": 2}}
    shown = Artifacts(StudyDirectory(tmp_path)).data()
    assert (shown.unreadable, shown.notes) == (("a.png: cannot be read",), ("a note",))
    assert describe(found)["unreadable"] == {"pictures": 1, "first": ["a.png: cannot be read"]}
    assert "unreadable" not in describe(data)


def test_mistakes_are_the_surest_ones_first(data, tmp_path):
    rng = np.random.default_rng(0)
    raw = rng.uniform(0.1, 1, (50, 10))
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    write_winner(tmp_path, data, 7, probabilities)
    about = json.loads((tmp_path / "winner.json").read_text())
    assert about["trial"] == 7
    sure = [mistake["probability"] for mistake in about["mistakes"]]
    assert sure == sorted(sure, reverse=True)
    assert all(m["shown"] != m["called"] for m in about["mistakes"])
    assert len(about["samples"]) == 12
    assert about["evaluation"]["images"] == 50
    assert all((tmp_path / m["picture"]).is_file() for m in about["mistakes"] + about["samples"])


def test_samples_come_from_the_training_split_alone(data, tmp_path, monkeypatch):
    asked = []
    images = type(data).images

    def remembered(self, split):
        asked.append(split)
        return images(self, split)

    monkeypatch.setattr(type(data), "images", remembered)
    write_data(tmp_path, data)
    contact_sheet(data)
    assert set(asked) == {"train"}


def test_a_look_at_the_test_split_is_kept_whole(data, tmp_path):
    found = measure(data.split_labels("test"), np.full((60, 10), 0.1), data.classes)
    write_test(tmp_path / "artifacts", 3, found.to_json())
    kept = Artifacts(StudyDirectory(tmp_path)).test()
    assert (kept.trial, kept.split, kept.mistakes) == (3, "test", ())
    assert kept.evaluation.images == 60
    assert kept.evaluation.confusion == found.confusion


def test_a_perfect_winner_has_no_mistakes(data, tmp_path):
    labels = data.split_labels("validation")
    write_winner(tmp_path, data, 0, np.eye(10)[labels])
    about = json.loads((tmp_path / "winner.json").read_text())
    assert about["mistakes"] == []
    assert about["evaluation"]["scores"]["accuracy"] == 1.0
