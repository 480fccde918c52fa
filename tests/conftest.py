"""Fixtures for all tests: checks of what can run here, images and the command line."""

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

# No test fails for being slow; a law that needs more examples than 50 sets its own number.
hypothesis.settings.register_profile("patient", deadline=None, max_examples=50)
hypothesis.settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)  # child processes inherit it

# Ray keeps the first token that it finds in a process, but HOME changes from test to test.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
# Ray's default niceness of 15 starves its workers when anything else computes.
os.environ.setdefault("RAY_worker_niceness", "0")


@functools.cache
def _sees_a_gpu() -> bool:
    """Whether TensorFlow sees a GPU; it is imported only if the driver reports one."""
    if not memory_mib():
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


SLOW = ("cluster", "training")  # marks
# Mark -> (whether its tests can run here, called only when one is about to run; why not).
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
    """Skip tests that cannot run here, with the reason; fail if TLSEARCH_REQUIRE has their mark."""
    required = os.environ.get("TLSEARCH_REQUIRE", "").split(",")
    for mark, (can_run, reason) in CAN_RUN.items():
        if item.get_closest_marker(mark) and not can_run():
            if mark in required:
                pytest.fail(f"{reason}, and TLSEARCH_REQUIRE asks for {mark}")
            pytest.skip(reason)
    if item.get_closest_marker("training"):
        from tlsearch.training.runtime import limit_resources

        # Before the first TensorFlow operation in this process, in whichever test.
        limit_resources(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send all tests of a folder to one process, because they share fixtures."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0].rpartition("/")[0]

    config.option.loadscopereorder = False
    return ByFolder(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes, run folders with slow tests first; the fast ones fill the gaps."""
    if hasattr(config, "workerinput"):
        long = {item.path.parent for item in items if any(map(item.get_closest_marker, SLOW))}
        items.sort(key=lambda item: item.path.parent not in long)


def _used_mib() -> int:
    """Return the used memory of the first GPU in MiB, 0 if there is none."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError):
        return 0


def _taken_mib(*processes: "subprocess.Popen[str]") -> int:
    """Return the peak memory of the first GPU, in MiB above the current use, until they end."""
    before = most = _used_mib()
    while any(process.poll() is None for process in processes):
        most = max(most, _used_mib())
        time.sleep(0.1)
    return most - before


@pytest.fixture(scope="session")
def taken_mib() -> Callable[..., int]:
    """Return a function that waits for new processes and returns how much GPU memory they took."""
    return _taken_mib


ImageFolder = Callable[[Mapping[str, int]], Path]


def write_picture(path: Path, seed: int, px: int = 8) -> None:
    """Write a noise image; equal seeds give equal pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (px, px, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def image_folder(tmp_path: Path) -> ImageFolder:
    """Write `{"cat": 3, "train/dog": 2}` as folders of distinct images 0.png, 1.png, ..."""

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
    """Write a noise image at a path; equal seeds give equal pixels."""
    return write_picture


class Result(NamedTuple):
    """The result of a command: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


class CommandLine:
    """The command line with its own home folder, so that no file of the user is read or written."""

    timeout_s = 600.0  # enough for a busy machine; only a command that hangs takes longer
    started: ClassVar[list["subprocess.Popen[str]"]] = []

    def __init__(self, home: Path, **env: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.env = {**os.environ, "HOME": str(home), **env}

    def start(self, *words: object, **env: str) -> "subprocess.Popen[str]":
        """Start a command in its own process, in the home folder."""
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

    def __call__(self, *words: object, **env: str) -> Result:
        """Run a command in its own process until it ends."""
        process = self.start(*words, **env)
        try:
            out, err = process.communicate(timeout=self.timeout_s)
        finally:
            process.kill()
        return Result(process.returncode, out, err)

    def here(self, *words: object) -> Result:
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
        return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def command_line() -> Iterator[type[CommandLine]]:
    """Yield the class `CommandLine`; its commands are killed after the tests."""
    yield CommandLine
    for process in CommandLine.started:
        process.kill()


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run the command line in this process and in this folder."""
    from tlsearch.cli.main import main

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["tlsearch", *map(str, words)])
        code = main()
        return Result(code, *capsys.readouterr())

    return run
