"""A search as a Kubernetes manifest for the KubeRay operator: a ConfigMap of its search space and a
RayJob that runs it.
"""

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import PurePosixPath
from typing import Any

import yaml

from tlsearch.base.errors import ConfigError
from tlsearch.config.load import dump
from tlsearch.config.schema import SearchConfig
from tlsearch.search.cluster.capacity import amounts_text
from tlsearch.search.cluster.job_package import SPACE, new_search
from tlsearch.search.cluster.jobs import STOP_WAIT_S

MOUNT = "/etc/tlsearch"  # the folder of the head that holds the search space
IDLE_S = 600
KEPT_S = 86400  # how long the finished job and its log are kept

Plain = dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """YAML as people write manifests: multi-line text as literal blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: repeated values are written out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


@dataclass(frozen=True)
class Worker:
    """The resources of one worker pod, and the maximum number of pods; `memory` as in 32Gi."""

    at_most: int
    gpus: int
    cpus: int
    memory: str


def rayjob(config: SearchConfig, study: str | None, image: str | None, worker: Worker) -> str:
    """Return the manifest as YAML text; comments at its top list its requirements.

    Raises ConfigError for an image that is not pinned, for a worker that cannot hold a trial, and
    if the search refers to files of this machine alone.
    """
    search = new_search(config, study, f"{MOUNT}/{SPACE}")
    image = image or f"tlsearch:{metadata.version('tlsearch')}"
    problems = [*_image_problems(image), *_worker_problems(config, worker)]
    if problems:
        raise ConfigError(problems)
    name = re.sub(r"[^a-z0-9-]+", "-", config.name.lower()).strip("-")[:40]
    objects = [
        _config_map(name, config),
        _job(
            name,
            search.line,
            image,
            worker,
            search.location,
        ),
    ]
    text = yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=100)
    return _header(image, search.location) + text


def _header(image: str, location: str) -> str:
    ray, python = metadata.version("ray"), "py311"
    reach = (
        f"# - a service account `tlsearch` that may write to {location}\n"
        if "://" in location
        else f"# - a claim `tlsearch` (ReadWriteMany) of a volume that holds {location}\n"
    )
    return (
        "# kubectl apply -f FILE. This has not been run on a Kubernetes cluster yet. It needs:\n"
        "# - the KubeRay operator, 1.5.1 or later: it makes the secret of the token\n"
        f"{reach}"
        f"# - the image {image}: FROM rayproject/ray:{ray}-{python}-gpu, and\n"
        '#   RUN pip install "tlsearch[gpu,cluster]" from this source\n'
    )


def _image_problems(image: str) -> list[str]:
    tag = re.search(r":([^/:@]+)$|@(sha256:[0-9a-f]{64})$", image)
    if tag and tag[1] not in ("latest", "nightly"):
        return []
    return [f"--image: found {image}, expected one that is pinned, as in NAME:1.2.3"]


def _worker_problems(config: SearchConfig, worker: Worker) -> list[str]:
    resources = config.resources
    if resources.gpus_per_trial <= worker.gpus and resources.cpus_per_trial <= worker.cpus:
        return []
    return [
        "no worker can run a trial: a trial requests "
        f"{amounts_text(resources.cpus_per_trial, resources.gpus_per_trial)}, a worker has "
        f"{amounts_text(worker.cpus, worker.gpus)}; raise --cpus or --gpus"
    ]


def _config_map(name: str, config: SearchConfig) -> Plain:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-space"},
        "data": {SPACE: dump(config)},
    }


def _job(name: str, line: str, image: str, worker: Worker, location: str) -> Plain:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": {
            "entrypoint": line,
            "runtimeEnvYAML": yaml.safe_dump(
                {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}}
            ),
            "backoffLimit": 0,  # a retry would find the study already there; use `resume`
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEPT_S,
            "rayClusterSpec": _cluster(name, image, worker, location),
        },
    }


def _cluster(name: str, image: str, worker: Worker, location: str) -> Plain:
    return {
        "rayVersion": metadata.version("ray"),
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": IDLE_S},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0", "num-gpus": "0"},
            "template": {
                "spec": _pod("ray-head", image, {"cpu": "2", "memory": "8Gi"}, location, name)
            },
        },
        "workerGroupSpecs": [_workers(image, worker, location)],
    }


def _workers(image: str, worker: Worker, location: str) -> Plain:
    resources = {"cpu": str(worker.cpus), "memory": worker.memory}
    if worker.gpus:
        resources["nvidia.com/gpu"] = str(worker.gpus)
    return {
        "groupName": "gpu" if worker.gpus else "cpu",
        "replicas": 1,  # a search cannot see that KubeRay could start a worker
        "minReplicas": 1,
        "maxReplicas": worker.at_most,
        "rayStartParams": {"num-cpus": str(worker.cpus), "num-gpus": str(worker.gpus)},
        "template": {"spec": _pod("ray-worker", image, resources, location)},
    }


def _pod(container: str, image: str, resources: Plain, location: str, space: str = "") -> Plain:
    """Return a pod of one container that mounts the search's storage.

    `space` is set for the head alone: the name of the search, whose ConfigMap is mounted, too.
    """
    mounts: list[Plain] = []
    volumes: list[Plain] = []
    spec: Plain = {}
    if space:
        mounts.append({"name": "space", "mountPath": MOUNT})
        volumes.append({"name": "space", "configMap": {"name": f"{space}-space"}})
    if "://" in location:
        spec["serviceAccountName"] = "tlsearch"
    else:
        mounts.append({"name": "shared", "mountPath": str(PurePosixPath(location).parent)})
        volumes.append({"name": "shared", "persistentVolumeClaim": {"claimName": "tlsearch"}})
    box = {
        "name": container,
        "image": image,
        "resources": {"requests": resources, "limits": resources},
        "volumeMounts": mounts,
    }
    return {**spec, "containers": [box], "volumes": volumes}
