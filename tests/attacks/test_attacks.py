"""A small seeded run of `tests/benchmarks/attack.py`, and tests of the sandbox's checks."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sandbox
from sandbox import Sandbox

ATTACK = Path(__file__).parents[1] / "benchmarks" / "attack.py"
CASES = 20


@pytest.mark.faults
@pytest.mark.parametrize("name", ["spaces", "pictures", "studies"])
def test_damage_is_handled(name, tmp_path):
    words = ["--only", name, "--cases", str(CASES), "--seed", "1", "--json", tmp_path / "rows.json"]
    done = subprocess.run(
        [sys.executable, ATTACK, *words, "--keep", tmp_path / "findings"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (row,) = json.loads((tmp_path / "rows.json").read_text())["classes"]
    assert row == {"name": name, "cases": CASES, "findings": 0, "kinds": {}}


def crash():
    raise ValueError("something unforeseen")


def hog():
    np.ones(200 * 2**20, np.uint8)
    return 0


def flood():
    print("x" * 30_000, file=sys.stderr)
    return 2


def escape():
    print("\x1b[2J")
    return 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (crash, "exit code 70"),
        (crash, "traceback"),
        (lambda: time.sleep(60), "hang"),
        (hog, "memory"),
        (flood, "flood"),
        (escape, "escape"),
        (lambda: 2, "silence"),
    ],
)
def test_what_a_command_must_not_do_is_seen(body, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "PATIENCE_S", 10.0)
    monkeypatch.setattr(sandbox, "MEMORY_MB", 100)
    outcome = Sandbox(tmp_path / "box").run(body)
    assert any(found.startswith(kind) for found in outcome.complaints())


def test_what_ends_well_is_no_finding(tmp_path):
    outcome = Sandbox(tmp_path / "box").run(lambda: print("ranked") or 0)
    assert (outcome.code, outcome.out, outcome.complaints()) == (0, "ranked\n", [])


def test_a_touched_file_elsewhere_is_seen(tmp_path):
    box = Sandbox(tmp_path / "box")
    assert box.trespasses() == []
    box.run(lambda: (box.elsewhere / "thesis.txt").write_text("gone") and 0)
    assert box.trespasses() == ["outside: thesis.txt was touched"]
