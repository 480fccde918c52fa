"""What several floors' tests need: checks that can run here, pictures, the command line."""

import contextlib
import functools
import io
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import hypothesis
import numpy as np
import pytest
from PIL import Image

from tlsearch.base.gpus import memory_mib

# No test fails on a time; a law that needs more examples than these says so.
hypothesis.settings.register_profile("patient", deadline=None, max_examples=50)
hypothesis.settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)  # commands started here inherit it

# Ray keeps the first token that a process finds, and homes change here from test to test.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
# Ray runs its workers at niceness 15, where they starve beside anything else that computes.
os.environ.setdefault("RAY_worker_niceness", "0")


@functools.cache
def _sees_a_gpu() -> bool:
    """Whether TensorFlow does, which is imported only where the driver tells of one."""
    if not memory_mib():
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


SLOW = ("cluster", "training")  # marks
# Mark -> whether its tests can run here, asked when the first of them is due, and why not.
CAN_RUN: dict[str, tuple[Callable[[], object], str]] = {
    "realdata": (
        lambda: "TLSEARCH_TEST_DATA" in os.environ,
        "TLSEARCH_TEST_DATA names no folder of images and weights",
    ),
    "browser": (
        lambda: shutil.which("chromium") and shutil.which("chromedriver"),
        "no chromium with its chromedriver on this machine",
    ),
    "gpu": (_sees_a_gpu, "TensorFlow sees no GPU here"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, with the reason; fail where TLSEARCH_REQUIRE names its mark."""
    required = os.environ.get("TLSEARCH_REQUIRE", "").split(",")
    for mark, (can_run, reason) in CAN_RUN.items():
        if item.get_closest_marker(mark) and not can_run():
            if mark in required:
                pytest.fail(f"{reason}, and TLSEARCH_REQUIRE asks for {mark}")
            pytest.skip(reason)
    if item.get_closest_marker("training"):
        from tlsearch.training.runtime import limit_threads

        limit_threads(1)  # before the process's first operation, whichever test that is


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send the tests of a folder to one process: they share what its fixtures make."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0].rpartition("/")[0]

    config.option.loadscopereorder = False
    return ByFolder(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes, run the folders with slow tests first: the fast ones fill the time in
    which another process still runs a slow one.
    """
    if hasattr(config, "workerinput"):
        long = {item.path.parent for item in items if any(map(item.get_closest_marker, SLOW))}
        items.sort(key=lambda item: item.path.parent not in long)


def _used_mib() -> int:
    """What is taken of the first GPU, 0 where there is none."""
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
    try:
        return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError):
        return 0


def _taken_mib(*processes: "subprocess.Popen[str]") -> int:
    """The MiB of the first GPU that are taken at most until these processes end, beyond those that
    are taken now.
    """
    before = most = _used_mib()
    while any(process.poll() is None for process in processes):
        most = max(most, _used_mib())
        time.sleep(0.1)
    return most - before


@pytest.fixture(scope="session")
def taken_mib() -> Callable[..., int]:
    """Waits for processes that were just started, and tells how much of the GPU they took."""
    return _taken_mib


ImageFolder = Callable[[Mapping[str, int]], Path]


def write_picture(path: Path, seed: int, px: int = 8) -> None:
    """A picture of noise; equal seeds are equal pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (px, px, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def image_folder(tmp_path: Path) -> ImageFolder:
    """Write `{"cat": 3, "train/dog": 2}` as folders of distinct pictures 0.png, 1.png, ..."""

    def write(sizes: Mapping[str, int]) -> Path:
        root = tmp_path / "pictures"
        for place, (folder, count) in enumerate(sizes.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                write_picture(root / folder / f"{number}.png", seed=1000 * place + number)
        return root

    return write


@pytest.fixture(scope="session")
def picture() -> Callable[..., None]:
    """Write one picture of noise at a path; equal seeds are equal pixels."""
    return write_picture


class Said(NamedTuple):
    """The end of a command: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


class CommandLine:
    """The command line in a home folder of its own: nothing of the user's is read or written."""

    timeout_s = 600.0  # of a command that hangs, not of a busy machine
    started: ClassVar[list["subprocess.Popen[str]"]] = []

    def __init__(self, home: Path, **env: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.env = {**os.environ, "HOME": str(home), **env}

    def start(self, *words: object, **env: str) -> "subprocess.Popen[str]":
        """Start a command in a process of its own, its working folder the home."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tlsearch.cli.main", *map(str, words)],
            cwd=self.home,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def __call__(self, *words: object, **env: str) -> Said:
        """Run a command in a process of its own to its end."""
        process = self.start(*words, **env)
        try:
            out, err = process.communicate(timeout=self.timeout_s)
        finally:
            process.kill()
        return Said(process.returncode, out, err)

    def here(self, *words: object) -> Said:
        """Run a command in this process, which saves the imports; warnings go to pytest's log."""
        from tlsearch.cli.main import main

        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.chdir(self.home)
            patch.setattr(sys, "argv", ["tlsearch", *map(str, words)])
            code = main()
        return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def command_line() -> Iterator[type[CommandLine]]:
    """Builds the command line of a home folder; no command outlives the tests."""
    yield CommandLine
    for process in CommandLine.started:
        process.kill()


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process and in this folder."""
    from tlsearch.cli.main import main

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["tlsearch", *map(str, words)])
        code = main()
        return Said(code, *capsys.readouterr())

    return run
