"""YAML within limits, parsed by libyaml and by PyYAML's own parser."""

from pathlib import Path

import pytest
import yaml

from tlsearch.base import yaml_text
from tlsearch.base.yaml_text import NotYamlError, Parser, compose, plain_values, read_text

PARSERS = {Parser.__name__: Parser, "SafeLoader": yaml.SafeLoader}


def test_libyaml_reads_where_it_is_there() -> None:
    assert yaml.__with_libyaml__ == (Parser is not yaml.SafeLoader)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a: &a [1, 1, 1, 1]\nb: &b [*a, *a, *a]\nc: [*b, *b]", 3, "at most 30 values"),
        ("a: [1, 1, 1, 1, 1]\n" * 6, 5, "at most 30 values"),
        ("a: " + "[" * 60, 1, "nested too deeply"),
        ("a: &a {b: *a}", 1, "within itself"),
        ("a: 1\nb: &b {<<: *b}", 2, "within itself"),
        ("a: 1\nb: *c", 2, "undefined alias"),
        ("a: \ud800", 1, r"found the character U\+D800, expected printable"),
    ],
)
def test_a_text_beyond_the_limits_is_refused_at_its_line(
    text: str, line: int, why: str, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_text, "VALUES", 30)
    with pytest.raises(NotYamlError, match=why) as refused:
        compose(text, PARSERS[parser])
    assert refused.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        *("!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!binary x", "!!python/none x"),
        *("2001-99-99", "9" * 5000, "1:" * 99 + "1", '"\\U00110000"', "a: b: c", "? [1]\n: 2"),
    ],
)
def test_what_cannot_be_read_raises_one_kind_of_error(text: str) -> None:
    with pytest.raises(NotYamlError):
        plain_values(text)


def test_plain_values_are_those_of_safe_yaml() -> None:
    text = "a: &a {b: [1, 2.5, true, null, 0x1F, 2001-01-01]}\nc: {<<: *a, d: e}"
    assert plain_values(text) == yaml.safe_load(text)
    assert plain_values("") is None


def test_only_a_file_of_bounded_size_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a file"):
        read_text(Path("/dev/zero"))
    (tmp_path / "large").write_bytes(b"#" * (yaml_text.TEXT_BYTES + 1))
    with pytest.raises(ValueError, match="at most 8 MB"):
        read_text(tmp_path / "large")
