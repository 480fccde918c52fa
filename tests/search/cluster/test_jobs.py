"""Searches submitted through the command line to a real local Ray cluster, with a token."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tlsearch.results.record.journal import read_journal

pytestmark = pytest.mark.cluster

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 100, validation: 100, test: 100}}
space: {backbone: strokes, unfrozen_layers: 0}
epochs: 2
trials: 2
resources: {max_concurrent: 1}
confirm: 0
"""
LONG = ("--set", "trials=500", "--set", "epochs=5", "--set", "scheduler=none")
HERE = (
    "--node-ip-address=127.0.0.1",
    "--dashboard-host=127.0.0.1",
    "--num-cpus=3",
    "--min-worker-port=0",
    "--max-worker-port=0",
)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [str(probe.getsockname()[1]) for probe in probes]


TOKEN = "0123456789abcdef" * 4


class Head:
    """A Ray head with its own token, ports and temporary folder, and a command line for it."""

    def __init__(self, tlsearch) -> None:
        self.tlsearch, self.root, self.env = tlsearch, tlsearch.home, tlsearch.env
        del tlsearch.env["RAY_AUTH_TOKEN"]  # the token is in a file of the home
        (self.root / ".ray").mkdir()
        (self.root / ".ray" / "auth_token").write_text(TOKEN)
        (self.root / "space.yaml").write_text(SPACE)
        names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
        names += ("dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.driver = f"127.0.0.1:{ports['port']}"
        self.jobs = f"http://127.0.0.1:{ports['dashboard-port']}"
        self.process = self._start([f"--{name}={port}" for name, port in ports.items()])

    def _start(self, ports):
        bin_ = Path(sys.executable).parent
        path = f"{bin_}{os.pathsep}{self.env['PATH']}"
        return subprocess.Popen(
            [
                bin_ / "ray",
                "start",
                "--head",
                "--block",
                *HERE,
                *ports,
                f"--temp-dir={self.root}/ray",
            ],
            cwd=self.root,
            env={**self.env, "PATH": path},
            stdout=(self.root / "head.log").open("w"),
            stderr=subprocess.STDOUT,
        )

    def await_jobs(self):
        """Wait until the job server answers."""
        asked = Request(f"{self.jobs}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"})
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self.process.poll() is None, (self.root / "head.log").read_text()
            with contextlib.suppress(OSError), urlopen(asked, timeout=10) as answer:
                return answer.status
            time.sleep(0.2)
        raise AssertionError("no job server in a minute")

    def __call__(self, *arguments, **env):
        return self.tlsearch(*arguments, **env)

    def end(self):
        """Stop the head, then kill its remaining processes by pid."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.root / "ray").encode() in (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def head(command_line):
    root = Path(tempfile.mkdtemp(prefix="tls-", dir="/tmp"))  # sockets need a short path
    head = Head(command_line(root, RAY_AUTH_MODE="token"))
    try:
        head.await_jobs()
        yield head
    finally:
        head.end()
        shutil.rmtree(root, ignore_errors=True)


def ended(study):
    journal = study / "journal.log"
    trials = read_journal(journal).trials if journal.is_file() else ()
    return {t.number: t for t in trials if t.state in ("finished", "stopped")}


def wait_until(true, seconds=180):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture(scope="module")
def left(head):
    """Submit a long search and follow it until Ctrl-C; return its job and its study."""
    study = head.root / "study"
    where = ("--study", study, "--address", head.jobs)
    follower = head.tlsearch.start("submit", "space.yaml", *LONG, *where)
    wait_until(lambda: len(ended(study)) >= 1)
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=30)
    assert follower.returncode == 130, out + err
    assert "INFO" not in err
    return err.split("error: ")[1].split(" keeps running")[0], study


@pytest.fixture(scope="module")
def stopped(left, head):
    """Stop that search while it runs; return the result of `stop` and the trials that had ended."""
    job, study = left
    seen = len(ended(study))
    wait_until(lambda: len(ended(study)) > seen)  # it continues without the follower
    printed = head("stop", job, "--address", head.jobs)
    return printed, ended(study)


@pytest.fixture(scope="module")
def resumed(stopped, left, head):
    """Resume that study and follow it to its end; return exit code, log and stderr."""
    more = ("--set", f"trials={len(stopped[1]) + 1}")
    return head("submit", "--resume", left[1], *more, "--address", head.jobs)


def jobs_of(head, study):
    """Return the jobs of a study as `status` lists them: name -> state."""
    code, out, err = head("status", "--address", head.jobs)
    assert code == 0, err
    lines = [line.split() for line in out.splitlines() if line.endswith(str(study))]
    return {line[0]: line[1] for line in lines}


def test_ctrl_c_leaves_it_running_and_stop_ends_it_in_order(stopped, left, head):
    job, study = left
    assert stopped[0] == (0, f"{job}: stopped\n", "")
    assert (study / "report" / "index.html").is_file()
    assert jobs_of(head, study)[job] == "stopped"
    code, out, _ = head("status", job, "--follow", "--address", head.jobs)
    assert code == 130  # as for an interrupted search
    assert "rank  trial  state" in out
    code, out, _ = head("stop", job, "--address", head.jobs)
    assert (code, out) == (0, f"{job} had ended: STOPPED\n")


def test_a_stopped_search_goes_on_and_is_followed_to_its_ranked_table(resumed, stopped, left):
    code, out, err = resumed
    assert code == 0, out + err
    study, before = left[1], stopped[1]
    assert "rank  trial  state" in out
    assert f"report: {study}/report" in out
    assert "tlsearch stop study-" in err
    after = ended(study)
    assert len(after) > len(before)
    assert all(after[number] == trial for number, trial in before.items())


def test_a_finished_job_can_be_looked_at_again(resumed, left, head):
    (job,) = [name for name, state in jobs_of(head, left[1]).items() if state == "succeeded"]
    code, out, _ = head("status", job, "--address", head.jobs)
    assert code == 0
    assert "model: " in out.splitlines()[-1]
    assert head("status", job, "--follow", "--address", head.jobs)[:2] == (0, resumed[1])


def test_the_package_travelled(resumed, head):
    assert [*(head.root / "ray").rglob("working_dir_files/*/tlsearch/search/cluster/jobs.py")]


def test_a_driver_on_the_head_joins_it(head):
    wish = ("--set", "resources.gpus_per_trial=1", "--address", head.driver)
    code, _, err = head("run", "space.yaml", "--study", head.root / "joined", *wish)
    assert code == 3
    assert (
        "1 CPU and 1 GPU, the nodes have 3 CPUs and 0 GPUs" in err
    )  # the head's, not this machine's
    assert not (head.root / "joined" / "study.yaml").exists()


def test_a_failed_search_ends_as_itself(head):
    study = ("--study", head.root / "failed", "--address", head.jobs)
    gpus = ("--set", "resources.gpus_per_trial=1")
    code, out, _ = head("submit", "space.yaml", *study, *gpus)
    assert code == 3
    assert "no node can run a trial" in out


@pytest.mark.parametrize("command", [("stop", "x"), ("submit", "space.yaml")])
def test_a_wrong_token_is_a_clear_message(head, command):
    study = ("--study", head.root / "refused") if command[0] == "submit" else ()
    at = ("--address", head.jobs)
    code, out, err = head(*command, *study, *at, RAY_AUTH_TOKEN="wrong" * 8)
    assert (code, out) == (3, "")
    assert "refuses the token (of RAY_AUTH_TOKEN)" in err
    assert "wrongwrong" not in err
    assert "Traceback" not in err
    assert not (head.root / "refused").exists()


def test_no_token_is_a_clear_message(head):
    code, _, err = head("status", "--address", head.jobs, HOME=str(head.root / "nobody"))
    assert code == 3
    assert "none: no RAY_AUTH_TOKEN" in err
    assert "Traceback" not in err


def test_the_token_may_come_from_the_environment(head):
    nobody = {"HOME": str(head.root / "nobody"), "RAY_AUTH_TOKEN": TOKEN}
    code, _, err = head("status", "--address", head.jobs, **nobody)
    assert code == 0, err


def test_an_unknown_job_is_a_message(head):
    for command in (("stop", "gone"), ("status", "gone", "--follow")):
        code, _, err = head(*command, "--address", head.jobs)
        assert code == 3
        assert "gone" in err
        assert "Traceback" not in err


def test_what_is_no_cluster_is_a_message(head):
    code, _, err = head("status", "--address", f"http://{head.driver}")
    assert code == 3
    assert "Traceback" not in err


def test_a_missing_extra_says_what_to_install(head):
    hide = "import sys; sys.modules['aiohttp'] = None\n"
    code = hide + "from tlsearch.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "status", "--address", head.jobs],
        env=head.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "needs aiohttp; run `pip install 'ray[default]" in done.stderr
