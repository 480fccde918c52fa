"""The rules for a cluster launcher file that Ray's schema does not check: pure, without Ray."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tlsearch.config.load import Key
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.job_package import is_shared

Config = dict[str, Any]

SETUP = ("initialization_commands", "setup_commands")
SIDES = ("head", "worker")
LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|localhost|::1|\[::1\]")
NIGHTLY = re.compile(r"nightly|latest|\.dev\d")


@dataclass(frozen=True)
class Mistake:
    """A mistake at a key: the value found, the one expected, and the remedy.

    A refusal by Ray has only `found`, which is its message.
    """

    at: Key
    found: str
    expected: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        if not self.expected:
            return self.found
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"found {self.found}, expected {self.expected}{remedy}"


def mistakes(config: Config, ray_version: str, trial: Resources) -> list[Mistake]:
    """Return all mistakes in a file that fits Ray's schema and has Ray's defaults filled in."""
    return [
        *_head_takes_trials(config),
        *_other_ray(config, ray_version),
        *_open_dashboard(config),
        *_no_token(config),
        *_no_storage(config),
        *_no_trial_fits(config, trial),
    ]


def summary(config: Config) -> list[str]:
    """Return a summary of a correct file, one line per node type."""
    lines = [f"head: takes no trials; storage: {_storage(config)}"]
    for name, node in _worker_types(config).items():
        held = ", ".join(f"{count} {kind}" for kind, count in node["resources"].items())
        least, most = node.get("min_workers", 0), _at_most(config, node)
        lines.append(f"{name}: {least} to {most} workers of {held or 'what Ray detects'}")
    return lines


def _head_takes_trials(config: Config) -> list[Mistake]:
    name = config["head_node_type"]
    cpus = config["available_node_types"][name]["resources"].get("CPU")
    starts = [one for _, one in _starts(config, "head")]
    if cpus == 0 or any(re.search(r"--num-cpus[= ]0\b", one) for one in starts):
        return []
    why = "a trial that crashes the head also ends the driver"
    if _is_local(config):
        return [Mistake(("head_start_ray_commands",), "none", "--num-cpus=0", why)]
    found = "no CPU key (Ray then uses all CPUs)" if cpus is None else str(cpus)
    return [Mistake(("available_node_types", name, "resources", "CPU"), found, "0", why)]


def _other_ray(config: Config, version: str) -> Iterator[Mistake]:
    """Check the version of Ray in each source of it: the tag of an image, or a `pip install`."""
    remedy = f'write "ray[default,tune]=={version}", the one that is installed here'
    sources = [*_images(config), *_pip_installs(config)]
    if not sources and not any("image" in key for key in config.get("docker", {})):
        yield Mistake(("setup_commands",), "nothing that installs Ray", f"ray=={version}", remedy)
    for at, text, found in sources:
        if NIGHTLY.search(text):
            yield Mistake(at, f"{text}, a moving build", f"Ray {version}", remedy)
        elif found is None:
            yield Mistake(at, f"{text}, any version", f"Ray {version}", remedy)
        elif found != version:
            why = "the nodes and this machine must run the same version of Ray"
            yield Mistake(at, f"Ray {found}", f"Ray {version}", why)


def _images(config: Config) -> Iterator[tuple[Key, str, str | None]]:
    """Yield the container images to check, each with the version of Ray in its tag, or None.

    A custom image with a pinned tag is skipped: its tag does not tell the version of Ray.
    """
    for key in ("image", "head_image", "worker_image"):
        image = config.get("docker", {}).get(key)
        if not image:
            continue
        tag = re.search(r":([^/:@]+)(?:@|$)", image)
        number = re.match(r"\d+\.\d+\.\d+", tag[1]) if tag else None
        if tag is None or NIGHTLY.search(tag[1]) or re.search(r"(^|/)ray(-ml)?:", image):
            yield ("docker", key), image, number[0] if number else None


def _pip_installs(config: Config) -> Iterator[tuple[Key, str, str | None]]:
    """Yield the requirements of Ray in `pip install` commands, with the exact version or None."""
    for at, command in _commands(config, (*SETUP, *(f"{side}_setup_commands" for side in SIDES))):
        for part in re.split(r"&&|\|\||;", command):
            if re.search(r"\bpip3? install\b", part):
                for word in _words(part):
                    if re.match(r"ray(\[[^\]]*\])?\s*($|[=<>~!@ ])", word):
                        exact = re.search(r"==\s*(\d+(\.\d+)+)$|ray-(\d+\.\d+\.\d+)-", word)
                        yield at, word, (exact[1] or exact[3]) if exact else None


def _open_dashboard(config: Config) -> Iterator[Mistake]:
    why = (
        "anyone who can reach it can run code on the cluster; `ray dashboard` forwards it from "
        "loopback"
    )
    for at, command in _starts(config, "head"):
        for host in re.findall(r"--dashboard-host[= ]([^\s;&]+)", command):
            if not LOOPBACK.fullmatch(host.strip("\"'")):
                yield Mistake(at, f"--dashboard-host={host}", "--dashboard-host=127.0.0.1", why)


def _no_token(config: Config) -> Iterator[Mistake]:
    """Check that the head and the workers require the token and have it."""
    for side in SIDES:
        texts = [text for _, text in _commands_for(config, side)]
        at = (f"{side}_start_ray_commands",)
        if not any(re.search(r"RAY_AUTH_MODE=[\"']?token\b", text) for text in texts):
            why = "without it, anyone who can reach a port of the cluster can run code on it"
            expected = "RAY_AUTH_MODE=token before `ray start`"
            yield Mistake(at, "no RAY_AUTH_MODE=token", expected, why)
        mounts = config.get("file_mounts", {})
        mounted = any(path.endswith(".ray/auth_token") for path in mounts)
        if not mounted and not any("RAY_AUTH_TOKEN" in text for text in texts):
            why = "`ray get-auth-token --generate` makes one; mount it to ~/.ray/auth_token"
            yield Mistake(("file_mounts",), "no token", "~/.ray/auth_token on every node", why)


def _no_storage(config: Config) -> Iterator[Mistake]:
    """Check `metadata.storage`, where the studies lie; the key is ours, and Ray ignores it."""
    location, at = _storage(config), ("metadata", "storage")
    if location is None or not is_shared(location):
        found = location or "none"
        why = "files on a single node are lost with it"
        yield Mistake(at, found, "a bucket, s3://NAME/FOLDER, or a folder all nodes mount", why)
    elif location.startswith("/") and not _is_local(config) and not _mounts(config, location):
        why = f"mount a shared file system at {location}, or use a bucket"
        yield Mistake(at, f"{location}, which no command mounts", "a mount in setup_commands", why)
    elif location.startswith("s3:") and config["provider"]["type"] == "aws":
        yield from _without_role(config, location)


def _without_role(config: Config, location: str) -> Iterator[Mistake]:
    """Check that workers may write to S3: Ray gives an IAM role to the head but not to workers."""
    if any("AWS_ACCESS_KEY_ID" in text for _, text in _commands_for(config, "worker")):
        return
    for name, node in _worker_types(config).items():
        if "IamInstanceProfile" not in node["node_config"]:
            at = ("available_node_types", name, "node_config")
            found = "no IamInstanceProfile"
            yield Mistake(
                at, found, f"a role that may write to {location}", "Ray gives workers none"
            )


def _no_trial_fits(config: Config, trial: Resources) -> Iterator[Mistake]:
    """Check that a trial fits on some worker type; a local machine reports its own resources."""
    workers = _worker_types(config)
    if _is_local(config) or any(_fits(config, node, trial) for node in workers.values()):
        return
    required = f"{trial.cpus_per_trial} CPUs and {trial.gpus_per_trial:g} GPUs on one node"
    why = "a trial asks for them: change its resources, or the nodes"
    if not workers:
        yield Mistake(("available_node_types",), "no type of worker", required, why)
    for name, node in workers.items():
        held = node["resources"]
        found = f"CPU {held.get('CPU', 'none')}, GPU {held.get('GPU', 'none')}"
        found += f", at most {_at_most(config, node)} of them"
        yield Mistake(("available_node_types", name, "resources"), found, required, why)


def _fits(config: Config, node: Config, trial: Resources) -> bool:
    cpus, gpus = node["resources"].get("CPU", 0), node["resources"].get("GPU", 0)
    enough = cpus >= trial.cpus_per_trial and gpus >= trial.gpus_per_trial
    return enough and _at_most(config, node) > 0


def _at_most(config: Config, node: Config) -> int:
    most = int(config.get("max_workers", 2))  # Ray's default
    return min(most, int(node.get("max_workers", most)))


def _worker_types(config: Config) -> dict[str, Config]:
    """Return the node types without the head's; a local cluster has one type for all nodes."""
    types: dict[str, Config] = config["available_node_types"]
    head = None if _is_local(config) else config["head_node_type"]
    return {name: node for name, node in types.items() if name != head}


def _storage(config: Config) -> str | None:
    location = config.get("metadata", {}).get("storage")
    return None if location is None else str(location)


def _mounts(config: Config, location: str) -> bool:
    """Whether a command or container option of each side names the folder or one above it.

    The search is for the first two folders of the path, as in /mnt/shared.
    """
    top = "/".join(location.split("/")[:3])
    return all(any(top in text for _, text in _commands_for(config, side)) for side in SIDES)


def _is_local(config: Config) -> bool:
    return bool(config["provider"]["type"] == "local")


def _commands_for(config: Config, side: str) -> Iterator[tuple[Key, str]]:
    """Yield every command and container option of one side, the head or the workers."""
    names = (*SETUP, f"{side}_setup_commands", f"{side}_start_ray_commands")
    yield from _commands(config, names)
    for key in ("run_options", f"{side}_run_options"):
        for index, option in enumerate(config.get("docker", {}).get(key, [])):
            yield ("docker", key, index), str(option)


def _starts(config: Config, side: str) -> Iterator[tuple[Key, str]]:
    for at, command in _commands(config, (f"{side}_start_ray_commands",)):
        if "ray start" in command:
            yield at, command


def _commands(config: Config, names: tuple[str, ...]) -> Iterator[tuple[Key, str]]:
    for name in names:
        for index, command in enumerate(config.get(name) or []):
            yield (name, index), command


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that ends in another part of the command
        return command.replace('"', " ").replace("'", " ").split()
