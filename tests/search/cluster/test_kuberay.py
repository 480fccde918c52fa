"""The KubeRay manifest: YAML with the settings that matter."""

from importlib import metadata

import pytest
import yaml

from tlsearch.base.errors import ConfigError
from tlsearch.config.load import load, parse
from tlsearch.search.cluster.kuberay import Worker, rayjob

GPUS = Worker(at_most=6, gpus=1, cpus=8, memory="32Gi")


def made(study="/mnt/shared/studies/q", image=None, worker=GPUS, settings=()):
    config = load("quickstart", settings)
    text = rayjob(config, study, image, worker)
    space, job = yaml.safe_load_all(text)
    return config, text, space, job


def cluster_of(job):
    return job["spec"]["rayClusterSpec"]


def pods(job):
    cluster = cluster_of(job)
    return [g["template"]["spec"] for g in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def test_it_runs_the_space_that_it_carries():
    config, _, space, job = made()
    assert (space["kind"], job["kind"]) == ("ConfigMap", "RayJob")
    assert parse(space["data"]["space.yaml"]) == config
    line = job["spec"]["entrypoint"]
    assert line.endswith("run /etc/tlsearch/space.yaml --study /mnt/shared/studies/q")
    (head, _) = pods(job)
    (mount,) = [m for m in head["containers"][0]["volumeMounts"] if m["name"] == "space"]
    (volume,) = [v for v in head["volumes"] if v["name"] == "space"]
    assert mount["mountPath"] == "/etc/tlsearch"
    assert volume["configMap"]["name"] == space["metadata"]["name"]


def test_ray_and_the_image_are_pinned_and_one():
    _, text, _, job = made()
    assert cluster_of(job)["rayVersion"] == metadata.version("ray")
    images = {pod["containers"][0]["image"] for pod in pods(job)}
    assert images == {f"tlsearch:{metadata.version('tlsearch')}"}
    assert f"rayproject/ray:{metadata.version('ray')}" in text


def test_the_head_takes_no_trials_and_the_gpu_workers_scale():
    _, _, _, job = made()
    cluster = cluster_of(job)
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["enableInTreeAutoscaling"] is True
    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (1, 6)
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == workers["rayStartParams"]["num-gpus"] == "1"
    head = pods(job)[0]["containers"][0]["resources"]["limits"]
    assert "nvidia.com/gpu" not in head


def test_the_dashboard_asks_for_a_token_and_a_second_run_is_not_tried():
    _, _, _, job = made()
    assert cluster_of(job)["authOptions"] == {"mode": "token"}
    assert job["spec"]["backoffLimit"] == 0
    wait = yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]
    assert int(wait) >= 60


def test_a_folder_is_a_claim_and_a_bucket_a_role_on_every_node():
    for pod in pods(made()[3]):
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        assert mounts["shared"] == "/mnt/shared/studies"
        assert "serviceAccountName" not in pod
    for pod in pods(made("s3://bucket/studies/q")[3]):
        assert pod["serviceAccountName"] == "tlsearch"
        assert "shared" not in str(pod)


@pytest.mark.parametrize("image", ["tlsearch", "tlsearch:latest", "a.test:5000/tlsearch"])
def test_an_image_that_moves_is_refused(image):
    with pytest.raises(ConfigError, match="expected one that is pinned"):
        made(image=image)


def test_an_image_may_be_pinned_by_its_digest():
    image = f"a.test/tlsearch@sha256:{'0' * 64}"
    assert pods(made(image=image)[3])[0]["containers"][0]["image"] == image


def test_a_worker_on_which_no_trial_fits_is_refused():
    with pytest.raises(ConfigError) as refused:
        made(settings=["resources.cpus_per_trial=9"])
    assert str(refused.value) == (
        "no worker can run a trial: a trial requests 9 CPUs and 0 GPUs, a worker has 8 CPUs and "
        "1 GPU; raise --cpus or --gpus"
    )


def test_a_study_in_a_pods_own_folder_is_refused():
    with pytest.raises(ConfigError, match="storage: found runs, expected a URL"):
        made(study=None)


def test_names_are_what_kubernetes_takes():
    _, _, space, job = made(settings=["name=My_Study.2"])
    assert job["metadata"]["name"] == "my-study-2"
    assert space["metadata"]["name"] == "my-study-2-space"
