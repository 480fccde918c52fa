"""The weight files that a study records, and what happens if their contents change."""

import re

import pytest

from tlsearch.base.errors import WeightsError
from tlsearch.config.load import parse
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.trial.weight_files import file_digests, require_same_files, weight_files


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.weights.h5"
    file.write_bytes(b"weights")
    return file


def space(*weights, backbone="[strokes, mobilenet_v2]"):
    listed = ", ".join(map(str, weights))
    return parse(f"data: {{kind: digits}}\nspace: {{backbone: {backbone}, weights: [{listed}]}}")


def study(tmp_path, config):
    home = StudyDirectory(tmp_path / "study")
    return home, {"weights": {"files": file_digests(config)}}


def test_files_by_path_and_shipped_ones_are_known_before_the_first_trial(own):
    assert set(weight_files(space("default"))) == {"strokes (shipped)"}
    assert set(weight_files(space("imagenet", "none"))) == set()
    assert weight_files(space("none", own)) == {str(own): own}


def test_files_as_they_were_pass(tmp_path, own, caplog):
    config = space("default", own)
    require_same_files(*study(tmp_path, config), config)
    assert not caplog.records


def test_a_changed_file_is_refused_with_both_digests_and_the_ways_on(tmp_path, own):
    config = space("default", own)
    known = study(tmp_path, config)
    before = known[1]["weights"]["files"][str(own)][:12]
    own.write_bytes(b"WEIGHTS")  # the same number of bytes
    after = file_digests(config)[str(own)][:12]
    message = rf"own\.weights\.h5: .*study\.yaml recorded SHA-256 {before}, found {after} in .*back"
    with pytest.raises(WeightsError, match=message):
        require_same_files(*known, config)
    own.unlink()
    with pytest.raises(WeightsError, match="found no such file in"):
        require_same_files(*known, config)


def test_a_changed_shipped_file_is_refused_by_the_name_of_its_backbone(tmp_path):
    config = space("default")
    home, about = study(tmp_path, config)
    about["weights"]["files"]["strokes (shipped)"] = "0" * 64
    with pytest.raises(WeightsError, match=r"strokes \(shipped\): .*version that study.yaml names"):
        require_same_files(home, about, config)


def test_a_file_that_joins_a_study_has_nothing_to_be_compared_with(tmp_path, own):
    require_same_files(*study(tmp_path, space("default")), space("default", own))


def test_an_earlier_study_is_warned_of_once_and_not_refused(tmp_path, caplog):
    require_same_files(StudyDirectory(tmp_path / "study"), {}, space("default"))
    (record,) = caplog.records
    assert re.search(r"study\.yaml: does not record its pretrained weights", record.message)
