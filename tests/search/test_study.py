"""What study.yaml tells of a study, from its beginning and through every extension."""

from pathlib import Path

import pytest

from tlsearch.config.load import parse
from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData, prepare
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.extend import Extension, extended
from tlsearch.search.handle import Study
from tlsearch.search.study import _begin

SPACE = "data: {kind: digits, image_px: 32, splits: {train: 40, validation: 40, test: 40}}"


@pytest.fixture
def config(tmp_path: Path) -> SearchConfig:
    return parse(SPACE, settings=[f"cache={tmp_path / 'cache'}"]).anchored()


@pytest.fixture
def data(config: SearchConfig) -> ImageData:
    return prepare(config.data, config.cache_path)


def test_a_study_keeps_its_beginning_and_every_change(
    config: SearchConfig, data: ImageData, tmp_path: Path
) -> None:
    home = StudyDirectory(tmp_path / "study")
    _begin(config, home, data)
    first = home.read_about()
    more = extended(config, Extension(trials="+20"))
    _begin(more, home, data)
    most = extended(more, Extension(time="10m", settings=("space.dropout=[0, 0.2]",)))
    _begin(most, home, data)
    about = home.read_about()
    assert Study(home.root).config == most
    assert {key: about[key] for key in ("data", "versions")} == {
        key: first[key] for key in ("data", "versions")
    }
    assert [list(told["changes"]) for told in about["extended"]] == [
        ["trials"],
        ["space.dropout", "time_budget"],
    ]


def test_a_study_that_only_goes_on_is_not_written_again(
    config: SearchConfig, data: ImageData, tmp_path: Path
) -> None:
    home = StudyDirectory(tmp_path / "study")
    _begin(config, home, data)
    written = home.study_file.stat().st_mtime_ns
    _begin(Study(home.root).config, home, data)
    assert home.study_file.stat().st_mtime_ns == written
