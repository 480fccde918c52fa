"""Commands on a full disk: they name the file, exit with code 3 and print no traceback."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tlsearch.base import files
from tlsearch.cli.main import main

EARLIER = Path(__file__).parents[1] / "earlier_studies" / "finished"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    home = tmp_path / "study"
    shutil.copytree(EARLIER, home)
    return home


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every write fail at its fsync for lack of space."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", fsync)


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tlsearch", *map(str, words)])
    return main()


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("form", ["csv", "json", "md", "html", "parquet"])
def test_a_report_that_does_not_fit_names_its_file(
    study: Path,
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / f"report.{form}"
    assert call(monkeypatch, "report", study, "--format", form, "--out", out) == 3
    assert capsys.readouterr().err == f"error: {out}: No space left on device\n"
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


@pytest.mark.usefixtures("full")
def test_a_check_of_images_that_cannot_be_cached_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"data: {{kind: digits, image_px: 32}}\ncache: {tmp_path / 'cache'}\n")
    assert call(monkeypatch, "validate", space, "--data") == 3
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith(f"error: {tmp_path / 'cache'}")
    assert printed[-1].endswith(": No space left on device")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_output_that_takes_no_more_is_no_traceback(study: Path) -> None:
    with Path("/dev/full").open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "tlsearch.cli.main", "report", str(study)],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        3,
        "error: standard output: No space left on device\n",
    )


def test_a_folder_that_is_not_ours_is_named(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "file").write_text("")
    out = study / "file" / "table.csv"
    assert call(monkeypatch, "report", study, "--format", "csv", "--out", out) == 3
    assert capsys.readouterr().err == f"error: {out.parent}: File exists\n"
