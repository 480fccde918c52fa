"""Laws of atomic files: they appear whole or not at all."""

import errno
import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.base.digests import sha256, size
from tlsearch.base.files import (
    atomic_file,
    create_private_file,
    disk_error,
    parse_json,
    write_json,
    write_text,
)
from tlsearch.base.leftovers import scratch_beside, sweep
from tlsearch.base.machine import PACKAGE, without_local_folders


@settings(deadline=None, max_examples=10)
@given(text=st.text())
def test_written_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "deep" / "er" / "note.txt"
    write_text(path, text.replace("\r", ""))
    assert path.read_text(encoding="utf-8") == text.replace("\r", "")


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")

    def half_a_file() -> None:
        with atomic_file(path) as file:
            file.write(b"new, but only ha")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        half_a_file()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


KILLED_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
from tlsearch.base.files import write_text
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_text(Path(sys.argv[1]), "new")
"""


@pytest.mark.parametrize("before", [None, "old"])
def test_a_writer_killed_before_the_rename_leaves_what_was(
    tmp_path: Path, before: str | None
) -> None:
    path = tmp_path / "note.txt"
    if before is not None:
        write_text(path, before)
    done = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RENAME, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (path.read_text() if path.exists() else None) == before


def test_a_file_is_readable_by_whom_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "note.txt", "")
    finally:
        os.umask(old)
    assert (tmp_path / "note.txt").stat().st_mode & 0o777 == 0o640


def test_json_keeps_its_order_and_refuses_what_is_not_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [None, 0.5]})
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["b", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("follow", [True, False])
def test_a_link_is_followed_only_where_the_user_named_it(tmp_path: Path, follow: bool) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "new", follow=follow)
    assert (tmp_path / "link").read_text() == "new"
    assert (tmp_path / "link").is_symlink() is follow
    assert (tmp_path / "target").read_text() == ("new" if follow else "old")


def test_what_is_no_file_is_written_into_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "new", follow=True)
    reader.join()
    assert heard == [b"new"]
    assert pipe.is_fifo()


def test_a_private_file_is_its_owners_alone_from_the_start(tmp_path: Path) -> None:
    file = tmp_path / "new" / "token"
    create_private_file(file, "a")
    create_private_file(file, "b")
    assert file.read_text() == "a"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(file.parent.iterdir()) == [file]


def test_a_private_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "token"
    tmp_path.chmod(0o755)
    file.write_text("a")
    file.chmod(0o644)
    create_private_file(file, "b")
    assert (file.stat().st_mode & 0o777, tmp_path.stat().st_mode & 0o777) == (0o600, 0o700)
    assert file.read_text() == "a"


def test_a_text_that_travels_names_no_folder_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    library = sysconfig.get_paths()["purelib"]
    text = f'File "{PACKAGE}/pace.py", "{library}/keras/a.py", "/home/ada/pets/1.png", /data/2.png'
    expected = 'File "tlsearch/pace.py", "keras/a.py", "~/pets/1.png", /data/2.png'
    assert without_local_folders(text) == expected


def test_an_environment_inside_the_checkout_is_no_part_of_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = f"{PACKAGE.parent}/.venv/lib/python3/site-packages"
    monkeypatch.setattr(
        sysconfig, "get_paths", lambda: dict.fromkeys(["purelib", "platlib", "stdlib"], library)
    )
    assert without_local_folders(f"{library}/keras/a.py") == "keras/a.py"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "NaN", "1e999", "-Infinity", "9" * 5000, "{", b"\xff"]
)
def test_json_that_means_harm_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_json_is_read_as_it_was_written() -> None:
    value = {"a": [1, 2.5, None, True, "é"]}
    assert parse_json(json.dumps(value)) == value


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_text(tmp_path / "note.txt", "new")
    assert raised.value.filename == str(tmp_path / "note.txt")
    message = disk_error(raised.value)
    assert message is not None
    assert str(message) == (
        f"{tmp_path / 'note.txt'}: No space left on device; free disk space there, or choose "
        "another path"
    )


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free disk space there"),
        (errno.EDQUOT, "free disk space there"),
        (errno.EACCES, "make it writable"),
        (errno.EPERM, "make it writable"),
        (errno.EROFS, "make it writable"),
        (errno.EFBIG, "check the disk"),
        (errno.EIO, "check the disk"),
    ],
)
def test_each_error_of_a_disk_says_what_to_do(number: int, remedy: str) -> None:
    message = disk_error(OSError(number, os.strerror(number), "note.txt"))
    assert str(message) == f"note.txt: {os.strerror(number)}; {remedy}, or choose another path"


def test_an_error_of_another_kind_is_no_disk_error() -> None:
    assert disk_error(FileNotFoundError(errno.ENOENT, "no such file")) is None
    assert disk_error(OSError("without a number")) is None


def aged(path: Path, seconds: float = 3600) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


KILLED_WHILE_EXPORTING = """
import os, signal, sys
from pathlib import Path
from tlsearch.base.leftovers import scratch_beside
from tlsearch.base.files import atomic_file
with scratch_beside(Path(sys.argv[1]) / "best") as folder:
    (folder / "model.keras").write_text("half")
    with atomic_file(Path(sys.argv[1]) / "study.yaml"):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_goes_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_WHILE_EXPORTING, str(tmp_path)], check=False)
    left = sorted(path.name[:-9] for path in tmp_path.iterdir())
    assert left == [".best", ".study.yaml"]
    sweep(tmp_path)  # keeps files of the last minute: their writers may not have locked them yet
    assert len(list(tmp_path.iterdir())) == 2
    kept = [".bashrc", ".notes.txt", ".best.other", "best.a1b2c3d4", ".study.yaml.A1B2C3D4"]
    for name in kept:
        (tmp_path / name).write_text("")
    (tmp_path / ".linked.a1b2c3d4").symlink_to(tmp_path / ".bashrc")
    for path in tmp_path.iterdir():
        aged(path)
    sweep(tmp_path, "best")
    assert sorted(path.name[:12] for path in tmp_path.glob(".study.yaml.*"))[1:] == [".study.yaml."]
    assert not [path for path in tmp_path.glob(".best.*") if path.is_dir()]
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, ".linked.a1b2c3d4"])


def test_what_a_living_writer_holds_stays(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "note.txt") as file, scratch_beside(tmp_path / "best") as folder:
        for path in tmp_path.iterdir():
            aged(path)
        sweep(tmp_path)
        assert folder.is_dir()
        file.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_the_digest_of_a_folder_sees_contents_and_names(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_bytes(b"xyz")
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    assert size(tmp_path / "a") == 3
    (tmp_path / "b" / "deep" / "file").write_bytes(b"xyz!")
    (tmp_path / "c" / "deep" / "file").rename(tmp_path / "c" / "deep" / "other")
    assert len({sha256(tmp_path / name) for name in ("a", "b", "c")}) == 3
