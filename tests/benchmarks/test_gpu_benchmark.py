"""The benchmark of a GPU, small and on the CPU; its table and its verdicts, of rows that are there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SMI = """#!/bin/sh
case "$1" in
  *name*) echo "NVIDIA X1, 580.1, 16384" ;;
  *) echo "70, 2048" ;;
esac
"""
SIZES = {"px": 224, "images": 4096, "batch": 128, "repeats": 2, "searched_images": 2000}
CARD = {"name": "NVIDIA X1", "driver": "580.1", "memory_mib": 16384}
SEEN = {"first_s": 3.0, "busy": 91.0, "used_mib": 2048.0, "peak_mib": 1500.0}


def gpu(folder, *words, **env):
    """The benchmark's stdout, and the rows of its file."""
    command = [sys.executable, HERE / "gpu.py", *words, "--json", folder / "rows.json"]
    env = {**os.environ, **env}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout, json.loads((folder / "rows.json").read_text())["rows"]


@pytest.mark.training
def test_a_small_network_is_measured_without_a_gpu(tmp_path):
    words = ["--models", "strokes", "--px", "32", "--images", "20", "--batch", "10"]
    words += ["--precisions", "mixed_bfloat16", "--parts", "paces", "--work", "pass,suffix"]
    out, rows = gpu(tmp_path, *words)
    assert [row.get("failed") for row in rows.values()] == [None] * 5
    assert all(row["images_per_s"] > 0 for row in rows.values())
    assert [line.split()[:5] for line in out.splitlines() if line.startswith("strokes")] == [
        ["strokes", "mixed_bfloat16", "off", *work] for work in (["pass", f"{rate}"],)
    ]
