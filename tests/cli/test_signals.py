"""A signal ends any command as Ctrl-C does: with a message, its exit code and no partial files."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tlsearch.base.files import atomic_file
from tlsearch.cli.launch import search_commands
from tlsearch.cli.main import main
from tlsearch.cli.read import study_tables
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.ray_session import connect

DEFAULTS = {signal.SIGINT: signal.default_int_handler}  # a shell may ignore them
EARLIER = Path(__file__).parents[1] / "earlier_studies" / "finished"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_with_a_message(
    number: int,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        with atomic_file(tmp_path / "report.csv"):
            os.kill(os.getpid(), number)

    default = DEFAULTS.get(number, signal.SIG_DFL)
    before = signal.signal(number, default)
    monkeypatch.setattr(study_tables, "show", interrupted)
    monkeypatch.setattr(sys, "argv", ["tlsearch", "report", str(EARLIER)])
    try:
        assert main() == code
        assert signal.getsignal(number) is default
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err.strip() == "error: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_a_hangup_under_nohup_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(study_tables, "show", lambda *_: os.kill(os.getpid(), signal.SIGHUP))
    monkeypatch.setattr(sys, "argv", ["tlsearch", "report", str(EARLIER)])
    try:
        assert main() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("status", [1, signal.SIGTERM])
def test_a_sigterm_that_ray_takes_as_it_starts_ends_the_command_with_a_message(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    def starting(*_: object, **__: object) -> None:  # as `ray.init` and Ray's node do on SIGTERM
        sys.exit(status)

    def begin(*_: object) -> None:
        with connect(Resources()):
            pass

    monkeypatch.setattr(ray, "init", starting)
    monkeypatch.setattr("tlsearch.search.study.run", begin)
    monkeypatch.setattr(search_commands, "print_result", lambda study: None)
    monkeypatch.setattr(sys, "argv", ["tlsearch", "run", "quickstart"])
    assert main() == 130
    assert "error: interrupted" in capsys.readouterr().err


CLOSED = """
import os, sys, time
from tlsearch.cli.main import main
from tlsearch.cli.read import study_tables

def show(*_):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("what a closed terminal does not take", flush=True)

study_tables.show = show
sys.argv = ["tlsearch", "report", sys.argv[1]]
sys.exit(main())
"""


def take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_command_whose_terminal_is_closed_ends_in_order() -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", CLOSED, str(EARLIER)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    ) as command:
        os.close(theirs)
        assert os.read(ours, 99).startswith(b"ready")
        os.close(ours)
        assert command.wait(30) == 129
