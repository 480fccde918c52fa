"""Paths of data: for an archive, the message gives the command that unpacks it."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from tlsearch.base.errors import DataError
from tlsearch.data.paths import file_at, folder_at


def why(path: Path) -> str:
    with pytest.raises(DataError) as refused:
        folder_at(path, "one folder per class")
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pets.zip", 'unzip "{0}/pets.zip" -d "{0}/pets"'),
        ("pets.tar.gz", 'mkdir -p "{0}/pets" && tar -xf "{0}/pets.tar.gz" -C "{0}/pets"'),
        ("my.pets.TGZ", 'mkdir -p "{0}/my.pets" && tar -xf "{0}/my.pets.TGZ" -C "{0}/my.pets"'),
        ("pets.7z", '7z x "{0}/pets.7z" -o"{0}/pets"'),
    ],
)
def test_an_archive_is_answered_with_the_command_that_unpacks_it(
    tmp_path: Path, name: str, command: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    assert why(tmp_path / name) == (
        f"{tmp_path}/{name}: a packed archive; unpack it and give the folder as path: "
        + command.format(tmp_path)
    )


def test_the_command_unpacks(tmp_path: Path) -> None:
    (tmp_path / "my pets").mkdir()
    (tmp_path / "my pets" / "cat.png").write_bytes(b"cat")
    with tarfile.open(tmp_path / "packed pets.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "my pets", "pets")
    command = why(tmp_path / "packed pets.tar.xz").partition("as path: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert (tmp_path / "packed pets/pets/cat.png").read_bytes() == b"cat"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pets.csv", "a file; kind: csv reads it, kind: folder expects a folder that holds"),
        ("pets.txt", "a file; expected a folder that holds"),
        ("gone", "no such folder; expected a folder that holds"),
    ],
)
def test_what_is_no_folder_says_what_it_is(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "pets.csv").write_bytes(b"")
    (tmp_path / "pets.txt").write_bytes(b"")
    assert why(tmp_path / name) == f"{tmp_path}/{name}: {reason} one folder per class"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", ": a folder; expected a file that holds a table"),
        ("/gone.csv", "/gone.csv: no such file; expected a file that holds a table"),
        ("/pets.zip", "/pets.zip: a packed archive; unpack it"),
    ],
)
def test_what_is_no_file_says_what_it_is(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "pets.zip").write_bytes(b"")
    with pytest.raises(DataError) as refused:
        file_at(Path(f"{tmp_path}{name}"), "a table")
    assert str(refused.value).startswith(f"{tmp_path}{reason}")
