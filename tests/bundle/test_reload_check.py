"""The process that verifies a file tells how far it is; the one that waits for it passes it on."""

import subprocess
import sys
from pathlib import Path

import pytest

from tlsearch.bundle import reload_check

CHILD = """
import pathlib, sys, time
count = pathlib.Path(sys.argv[1])
for done in (32, 64):
    count.write_bytes(bytes(done))
    while not count.with_name(f"heard {done}").exists():
        time.sleep(0.01)
print("why it failed", file=sys.stderr)
"""


def test_the_count_of_the_process_advances_while_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_check, "LOOK_EVERY_S", 0.02)
    heard: list[int] = []

    def done(pictures: int) -> None:
        heard.append(pictures)
        (tmp_path / f"heard {pictures}").touch()

    command = [sys.executable, "-c", CHILD, str(tmp_path / "done")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        said = reload_check._awaited(child, tmp_path / "done", done)
    assert said == "why it failed\n"
    assert heard == sorted(heard)
    assert {32, 64} <= set(heard)


def test_a_process_whose_waiter_fails_does_not_live_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_check, "LOOK_EVERY_S", 0.02)

    def fails(pictures: int) -> None:
        raise KeyboardInterrupt

    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        with pytest.raises(KeyboardInterrupt):
            reload_check._awaited(child, tmp_path / "done", fails)
        assert child.wait(30) != 0
