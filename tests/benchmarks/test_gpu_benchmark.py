"""The GPU benchmark: a small run on the CPU, and the table of rows measured before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The answers of nvidia-smi for a busy GPU.
SMI = """#!/bin/sh
case "$1" in
  *name*) echo "NVIDIA X1, 580.1, 16384" ;;
  *) echo "70, 2048" ;;
esac
"""
SETTINGS = {
    "px": 224,
    "images": 4096,
    "batch": 128,
    "repeats": 2,
    "searched_images": 2000,
    "card": {"name": "NVIDIA X1", "driver": "580.1", "memory_mib": 16384},
}
SEEN = {"first_s": 3.0, "busy": 91.0, "used_mib": 2048.0, "peak_mib": 1500.0}


def gpu(folder, *words, **env):
    """Run the benchmark; return its lines and the rows of its file."""
    command = [sys.executable, HERE / "gpu.py", *words, "--json", folder / "rows.json"]
    env = {**os.environ, **env}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), json.loads((folder / "rows.json").read_text())["rows"]


@pytest.mark.training
def test_a_small_network_is_measured_without_a_gpu(tmp_path):
    words = ["--models", "strokes", "--px", "32", "--images", "20", "--batch", "10"]
    words += ["--precisions", "mixed_bfloat16", "--parts", "paces", "--work", "pass,kept,suffix"]
    lines, rows = gpu(tmp_path, *words)
    assert [row.get("failed") for row in rows.values()] == [None] * 5
    assert all(row["images_per_s"] > 0 for row in rows.values())
    table = [line.split()[:4] for line in lines if line.startswith("strokes")]
    works = ("pass", "kept", "suffix")
    assert table == [["strokes", "mixed_bfloat16", "off", work] for work in works]


def pace(work, program, **more):
    named = {"backbone": "resnet50", "precision": "tf32", "jit": "on"}
    row = {**named, "work": work, "program": program, **more}
    return " ".join([*named.values(), work, program]), row


def search(kind, slots, **more):
    return f"{kind} {slots}", {"search": kind, "slots": slots, "gpus": 1 / slots, **more}


@pytest.fixture
def on_gpu(tmp_path):
    """Return a function that prints rows of another run, as on a machine with a GPU."""

    def printed(*rows):
        (tmp_path / "nvidia-smi").write_text(SMI)
        (tmp_path / "nvidia-smi").chmod(0o755)
        (tmp_path / "rows.json").write_text(json.dumps({"settings": SETTINGS, "rows": dict(rows)}))
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        return gpu(tmp_path, "--for-s", "0", PATH=path, CUDA_VISIBLE_DEVICES="0")[0]

    return printed


def test_the_table_says_what_was_found_beside_what_is_wanted(on_gpu):
    trials = [{"epochs": 9}] * 12
    program = {"program": "tlsearch", "wall_s": 60.0, "steady": 20.0, "trials": trials, **SEEN}
    lines = on_gpu(
        pace("step", "tlsearch", images_per_s=750.0, **SEEN),
        pace("step", "by hand", images_per_s=1000.0, **SEEN),
        pace("kept", "tlsearch", failed="ResourceExhaustedError: no memory"),
        search("mixed", 4, ratio=5.5, limit_mib=14336, programs=[program]),
        search("heads", 2, failed="ended with exit code 1, see the log"),
    )
    assert "NVIDIA X1, 16384 MiB, driver 580.1" in lines
    row = "resnet50 tf32 on step 750.0 1000.0 0.75 3.0 91 1500 2048"
    assert row.split() in [line.split() for line in lines]
    row = "mixed 4 tlsearch 12 60.0 12.0 20.0 91 2048 14336"
    assert row.split() in [line.split() for line in lines]
    assert [line for line in lines if line.startswith(("failed", "whole", "mixed search"))] == [
        "failed: resnet50 tf32 on kept tlsearch: ResourceExhaustedError: no memory",
        "failed: heads 2: ended with exit code 1, see the log",
        "whole step, target 80% of the loop by hand: 75% at the least (resnet50 tf32, XLA on), "
        "missed",
        "mixed search, target 5 times the program by hand: 5.5 times, met",
    ]


ECHO = """
import json, sys
for line in sys.stdin:
    what = json.loads(line)["what"]
    if what == "die":
        sys.exit(7)
    while what == "hang":
        pass
    print(json.dumps({"said": what}), flush=True)
"""
ASK = """
import json, sys
from gpu_child import Child
with open(sys.argv[2], "w") as log, Child([sys.executable, "-c", sys.argv[1]], log, 3.0) as child:
    print(json.dumps([child.ask({"what": what}) for what in ("a", "die", "b", "hang", "c")]))
"""


def test_a_measurement_that_ends_its_process_is_a_row_and_the_rest_goes_on(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ASK, ECHO, tmp_path / "log"],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        {"said": "a"},
        {"failed": "its process ended with exit code 7, see the log"},
        {"said": "b"},
        {"failed": "took more than 3 s"},
        {"said": "c"},
    ]
