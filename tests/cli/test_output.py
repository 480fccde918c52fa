"""Output on the terminal when names and paths are malicious."""

import io
import logging
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from tlsearch.cli.cache_commands import MOST_GB
from tlsearch.cli.main import StderrHandler, main
from tlsearch.cli.output import print_answer, print_line, print_text
from tlsearch.cli.tables import print_table
from tlsearch.config import schema

EVIL = "\x1b]0;owned\x07\u202ecat\n"
SECRET = "s3://AKIAKEY:HUNT/ER2@bucket/studies"


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that must exit with 2 or 3, and return its stderr."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["tlsearch", *arguments])
        assert main() in (2, 3)
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err

    return call


def test_no_name_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(EVIL)
    print_text(EVIL, err=True)
    print_table(["class", EVIL], [[EVIL, "1"]])
    printed = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & set(printed.out + printed.err)
    assert printed.out.count("\n") == 4  # one line, and a table of three lines


def test_data_is_changed_for_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    print_answer(EVIL)
    assert capsys.readouterr().out == EVIL
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_answer(EVIL)
    assert sys.stdout.getvalue() == r"\x1b]0;owned\x07\u202ecat" + "\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "quickstart", "--set", f"storage={SECRET}"),
        ("validate", "quickstart", "--set", f"cache={SECRET}"),
        ("validate", "quickstart", "--set", f"data.path={SECRET}"),
        ("validate", "quickstart", "--set", f"space.weights={SECRET}"),
        ("validate", "quickstart", "--set", SECRET),
        ("validate", SECRET),
        ("resume", SECRET),
        ("report", SECRET),
        ("run", "quickstart", "--study", SECRET, "--quiet"),
        ("run", "quickstart", "--address", "http://me:HUNTER2@host:8265"),
        ("status", "--address", "http://me:HUNTER2@host:8265"),
        ("submit", "quickstart", "--study", SECRET),
        ("submit", "--resume", SECRET),
        ("cluster", "manifest", "quickstart", "--kuberay", "--study", SECRET),
        ("cache", "ls", "--cache", SECRET),
        ("export", "nowhere", "--out", SECRET),
        ("--secret", SECRET),
    ],
    ids=" ".join,
)
def test_a_secret_in_a_url_is_refused_and_does_not_show(
    arguments: tuple[str, ...],
    run: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run(*arguments)
    assert not [part for part in ("HUNT", "ER2", "AKIAKEY") if part in printed]
    assert list(tmp_path.rglob("*")) == []


def test_a_secret_in_the_endpoint_names_no_folder(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:HUNTER2@127.0.0.1:9")
    printed = run("report", "s3://bucket/study")
    assert "AWS_ENDPOINT_URL: found http://***@127.0.0.1:9, with credentials in it" in printed
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "x", "--out", "y", "--trial", "²"), "--trial: found ², expected best or"),
        (("export", "x", "--out", "y", "--trial", "٣"), "--trial: found ٣, expected best or"),
        (("export", "x", "--out", "y", "--trial", "9" * 5000), "--trial: found 999"),
        (("cache", "prune", "--to", "1e308"), "--to: found 1e+308, expected a number of GB"),
        (("cache", "ls", "--cache", "~nouser/x"), "found ~nouser/x, but there is no home"),
        (("report", "~nouser/x"), "found ~nouser/x, but there is no home directory"),
        (("report", "s3://[::1/x"), "found s3://[::1/x, expected s3://BUCKET/PATH"),
        (("cluster", "check", "/dev/zero"), "/dev/zero: cannot be read (not a file)"),
        (("validate", "/dev/zero"), "/dev/zero: no such file"),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_wrong_argument_is_a_bounded_line(
    arguments: tuple[str, ...], message: str, run: Callable[..., str]
) -> None:
    printed = run(*arguments)
    assert message in printed
    assert printed.count("\n") == 1
    assert len(printed) < 1000


def test_a_deleted_working_directory_is_a_line(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run("validate", "quickstart") == (
        "error: the working directory was deleted; change to an existing one\n"
    )


def test_the_largest_cache_to_prune_to_is_the_largest_there_can_be() -> None:
    field = schema.SearchConfig.model_fields["cache_gb"]
    assert [one.le for one in field.metadata if hasattr(one, "le")] == [MOST_GB]


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "bundle", "s3://bucket/a.jpg"),
        ("predict", "s3://bucket/best", "a.jpg"),
        ("evaluate", "best", "gs://bucket/pictures"),
        ("init", "s3://bucket/pictures"),
        ("upload", "s3://bucket/study", "s3://bucket/other"),
        ("cache", "ls", "--cache", "s3://bucket/cache"),
    ],
)
def test_a_url_where_a_path_belongs_is_refused_in_words(
    arguments: tuple[str, ...], run: Callable[..., str]
) -> None:
    assert "expected a path of this machine, not a URL" in run(*arguments)


def test_the_version_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["tlsearch", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"tlsearch {metadata.version('tlsearch')}\n"


def test_a_warning_goes_where_stderr_is_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, drawn = StderrHandler(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", drawn)  # as when a table is drawn on stderr
    handler.emit(logging.makeLogRecord({"msg": "the cluster did not answer"}))
    assert drawn.getvalue() == "the cluster did not answer\n"
