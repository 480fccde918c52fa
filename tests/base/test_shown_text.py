"""Text for people: names cannot control a terminal, secrets are hidden, lengths are bounded."""

import pickle

import pytest

from tlsearch.base.errors import ConfigError, StorageError
from tlsearch.base.shown_text import escape_controls, mask_urls, shorten


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mcat", r"\x1b[31mcat"),
        ("\x9b31m", r"\x9b31m"),
        ("cat\ndog\r", r"cat\ndog\r"),
        ("\u202egpj.tac", r"\u202egpj.tac"),
        ("\u2066\u2028\ufeff", r"\u2066\u2028\ufeff"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(name: str, shown: str) -> None:
    assert escape_controls(name) == shown


@pytest.mark.parametrize("name", ["Köln", "猫", "ab\u200cc", "👩\u200d🔬", "a b\u00a0c", r"\x1b"])
def test_names_of_people_stay_as_they_are(name: str) -> None:
    assert escape_controls(name) == name


def test_line_breaks_stay_where_they_are_meant() -> None:
    assert escape_controls("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("found s3://KEY:SECRET@bucket/x, expected", "found s3://***@bucket/x, expected"),
        ("s3://KEY:SEC/RET@bucket/x", "s3://***@bucket/x"),
        ("s3:/KEY:SECRET@bucket", "s3:/***@bucket"),
        ("'gs://token@bucket'", "'gs://***@bucket'"),
        ("http://user:p@w@host:8265/a", "http://***@host:8265/a"),
        ("s3://b/x?secret_key=SECRET&a=b", "s3://b/x?***"),
    ],
)
def test_a_secret_of_a_url_does_not_show(text: str, shown: str) -> None:
    assert mask_urls(text) == shown


@pytest.mark.parametrize(
    "text",
    ["s3://bucket/a@b", "http://127.0.0.1:8265", "is it file:///x? mail me@home: x", "a:b@c"],
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert mask_urls(text) == text


def test_no_error_holds_a_secret() -> None:
    error = pickle.loads(pickle.dumps(ConfigError(["found s3://KEY:SECRET@b", "x\x1b\n"])))
    assert error.problems == ("found s3://***@b", r"x\x1b\n")
    assert "SECRET" not in repr(error) + str(StorageError("http://u:SECRET@h: gone"))


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    short = shorten("a" * 5000 + "end")
    assert len(short) < 700
    assert short.startswith("aaa")
    assert short.endswith("end")
    assert shorten("x" * 600) == "x" * 600
