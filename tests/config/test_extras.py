"""Optional packages are checked before anything is computed."""

import platform
import sys
import tomllib
from pathlib import Path

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.config.extras import EXTRAS, OPENING, known_formats, require_extra, require_formats

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_named_is_what_the_extra_installs(extra: str) -> None:
    assert [*EXTRAS[extra].values()] == PROJECT["optional-dependencies"][extra]


def test_every_format_that_needs_an_extra_has_its_row() -> None:
    needing = {name: row.extra for name, row in EXPORT_FORMATS.items() if row.extra is not None}
    assert {*needing.values()} <= {*EXTRAS}
    assert {name: {*modules} - {*EXTRAS[needing[name]]} for name, modules in OPENING.items()} == {
        name: set() for name in needing
    }


def test_a_format_without_its_packages_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    require_formats(EXPORT_FORMATS)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)  # as if it were not installed
    require_formats(["keras", "litert"])
    require_extra("onnx", "onnx", OPENING["onnx"])  # not needed to open a file
    with pytest.raises(ConfigError) as refused:
        require_formats(["keras", "onnx"])
    assert str(refused.value) == (
        f"export: onnx needs tf2onnx on {platform.node()}, which writes the model files; run "
        "`pip install 'tf2onnx>=1.17'` there, or leave onnx out of the formats"
    )


def test_formats_are_known_each_once_and_a_text_is_one() -> None:
    assert known_formats("onnx") == ("onnx",)
    assert known_formats(["keras", "onnx", "keras"]) == ("keras", "onnx")
    with pytest.raises(ConfigError, match="formats: unknown format 'onix', did you mean 'onnx'"):
        known_formats(["onix"])
