"""Commands for clusters: submit, follow and stop a search; check and print cluster files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlsearch.cli.options import Set, Space
from tlsearch.cli.output import print_answer, print_line, print_text

if TYPE_CHECKING:
    from datetime import datetime

    from tlsearch.search.cluster.job_package import Shipment
    from tlsearch.search.cluster.jobs import Cluster, Job

app = typer.Typer(
    name="cluster",
    help="Check cluster files, and print a manifest for Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SERVER = "http://127.0.0.1:8265"  # the default job server; a test compares it with `address.py`
Address = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="URL",
        envvar="RAY_API_SERVER_ADDRESS",  # the same as for Ray's own commands
        help="The cluster's job server.",
    ),
]
Study = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="DIR",
        help="Where the study goes, a URL or an absolute path that "
        "every node sees. [default: STORAGE/NAME]",
    ),
]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job, as `submit` printed it.")]
LAST_LINES = 20


def submit(
    space: Annotated[
        str | None,
        typer.Argument(
            metavar="SPACE",
            help="A search space: a YAML file, or a shipped name.",
            show_default=False,
        ),
    ] = None,
    address: Address = SERVER,
    study: Study = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Continue this study instead of starting SPACE."),
    ] = None,
    set_: Set = None,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Print the job's name and return.")
    ] = False,
) -> None:
    """Submit a search to a cluster and follow its log; Ctrl-C leaves it running.

    The installed package and the resolved search space are sent along; the driver runs on the head
    node. The token is Ray's: RAY_AUTH_TOKEN, or ~/.ray/auth_token. The exit code is that of the
    search. For a study in a bucket, the environment variables that give access to it are sent too,
    such as AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Anyone who
    may read the cluster's jobs can read them. To avoid that, give the nodes a role of their own
    instead.
    """
    from tlsearch.search.cluster.jobs import Cluster

    shipment = _shipment(space, study, resume, set_ or [])
    if names := ", ".join(shipment.env):
        print_text(
            f"sent with the job, and readable by anyone who can read the cluster's jobs: {names}\n",
            err=True,
        )
    cluster = Cluster(address)
    job = cluster.submit(shipment)
    if no_follow:
        print_line(job)
    else:
        print_text(f"job {job}, study {shipment.location}\n{_ways_on(cluster, job)}\n", err=True)
        _follow(cluster, job)


def status(
    job: Annotated[
        str | None, typer.Argument(metavar="JOB", help="The job to show.", show_default=False)
    ] = None,
    address: Address = SERVER,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the whole log and follow it.")
    ] = False,
) -> None:
    """List the searches on a cluster, or show the state of one and the end of its log."""
    from tlsearch.base.errors import ConfigError
    from tlsearch.search.cluster.jobs import Cluster

    if follow and job is None:
        raise ConfigError(["--follow needs a JOB"])
    cluster = Cluster(address)
    if job is None:
        _print_jobs(cluster.jobs())
    elif follow:
        _follow(cluster, job)
    else:
        _print_jobs([cluster.job(job)])
        print_text("".join(f"{line}\n" for line in cluster.log(job).splitlines()[-LAST_LINES:]))


def stop(
    job: JobName,
    address: Address = SERVER,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long to wait for the end of the search."),
    ] = 300,
) -> None:
    """Stop a search cleanly: finished trials are ranked, and `submit --resume DIR` continues it.

    The driver gets SIGTERM, and is killed only if it has not ended five minutes later.
    """
    from tlsearch.base.errors import ClusterError
    from tlsearch.search.cluster.jobs import Cluster

    cluster = Cluster(address)
    was_running = cluster.stop(job)
    ended = cluster.wait_for_end(job, wait)
    if not ended.over:
        raise ClusterError(f"{job} has not ended after {wait:g} s\n{_ways_on(cluster, job)}")
    print_line(
        f"{job}: {ended.state.lower()}" if was_running else f"{job} had ended: {ended.state}"
    )


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file for Ray's `ray up`.")],
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="A search space whose trials must fit the workers."),
    ] = None,
    set_: Set = None,
) -> None:
    """Check a file of Ray's cluster launcher, offline: its schema, and common mistakes.

    Among these: a head node that runs trials, a Ray version that is not pinned or differs from the
    one here, an open dashboard, no token, no storage that all nodes share, nodes too small for any
    trial.
    """
    from tlsearch.config.load import load
    from tlsearch.config.schema import Resources
    from tlsearch.search.cluster.launcher import check_launcher

    trial = load(space, set_ or []).resources if space is not None else Resources()
    found = check_launcher(file, trial)
    print_line(f"{file}: no mistakes found")
    for line in found:
        print_line(line)


@app.command()
def manifest(
    space: Space = "quickstart",
    kuberay: Annotated[
        bool, typer.Option("--kuberay", help="A RayJob for the KubeRay operator.")
    ] = False,
    study: Study = None,
    image: Annotated[
        str | None, typer.Option(metavar="NAME:TAG", help="The image, with Ray and tlsearch.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="The maximum number of workers.")] = 8,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs per worker.")] = 1,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs per worker.")] = 8,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory per worker.")] = "32Gi",
    set_: Set = None,
) -> None:
    """Print a Kubernetes manifest that runs a search, for `kubectl apply -f -`."""
    from tlsearch.base.errors import ConfigError
    from tlsearch.config.load import load
    from tlsearch.search.cluster.kuberay import Worker, rayjob

    if not kuberay:
        raise ConfigError(["choose a manifest: --kuberay is the only one"])
    worker = Worker(at_most=workers, gpus=gpus, cpus=cpus, memory=memory)
    print_answer(rayjob(load(space, set_ or []), study, image, worker))


def _follow(cluster: "Cluster", job: str) -> None:
    """Print a job's log until the job ends, then exit with its code; Ctrl-C leaves it running."""
    from tlsearch.base.errors import ClusterError, SearchInterruptedError

    try:
        for text in cluster.follow(job):
            print_text(text)
        ended = cluster.job(job)
    except KeyboardInterrupt:
        raise SearchInterruptedError(f"{job} keeps running\n{_ways_on(cluster, job)}") from None
    except ClusterError as error:
        raise ClusterError(
            f"{error}\n{job} may still be running\n{_ways_on(cluster, job)}"
        ) from error
    if ended.state == "STOPPED":
        way = "`tlsearch submit --resume DIR` continues it"
        raise SearchInterruptedError(f"{job} was stopped; {way}")
    if ended.state == "FAILED" and ended.exit_code is None:
        raise ClusterError(f"{job} could not be started: {ended.message}")
    raise typer.Exit(ended.exit_code or 0)


def _shipment(
    space: str | None, study: str | None, resume: str | None, settings: list[str]
) -> "Shipment":
    """Return what is sent to the cluster; raises ConfigError unless the options name one search."""
    from tlsearch.base.errors import ConfigError
    from tlsearch.config.load import load
    from tlsearch.search.cluster.job_package import new_search, resumed_search

    if resume is not None:
        for name, given in (("SPACE", space), ("--study", study)):
            if given is not None:
                raise ConfigError([f"{name} and --resume: choose one"])
        return resumed_search(resume, settings)
    if space is None:
        raise ConfigError(["missing argument: a SPACE, or --resume DIR"])
    return new_search(load(space, settings), study)


def _ways_on(cluster: "Cluster", job: str) -> str:
    at = "" if cluster.url == SERVER else f" --address {cluster.url}"
    return f"look at it: tlsearch status {job} --follow{at}\nend it:     tlsearch stop {job}{at}"


def _print_jobs(jobs: "list[Job]") -> None:
    from tlsearch.cli.tables import print_table

    columns = ["job", "state", "began", "ended", "study"]
    body = [[j.id, j.state.lower(), _clock(j.began), _clock(j.ended), j.study] for j in jobs]
    print_table(columns, body, ["began", "ended"])


def _clock(moment: "datetime | None") -> str:
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


COMMANDS = (submit, status, stop)
