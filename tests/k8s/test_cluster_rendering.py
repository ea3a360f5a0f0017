"""What a profile becomes on a cluster: pods, applications, who may reach whom."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from bestiary.deploy import parse_options, render
from bestiary.deploy.options import PodSize
from bestiary.deploy.worker_groups import Demand, WorkerGroup, pods_needed, worker_groups
from bestiary.errors import CardNotInstalled, InvalidRequest, ProfileInvalid
from bestiary.garden.card import CardRequirement, Family, ModelCard, Source
from bestiary.profile.applications import ApplicationSpec, applications
from bestiary.profile.load import load_profile
from bestiary.profile.models import Profile

Json = dict[str, Any]  # parsed YAML, as a cluster would see it
CPU_POD = PodSize(cpus=4, memory_gib=16)
SHARED = Path(__file__).resolve().parents[3] / "shared"
CRDVAL = SHARED / "tools" / "crdval.py"
EVERYTHING: Mapping[str, object] = {
    "name": "zoo",
    "namespace": "ai",
    "image": "registry.local:5000/bestiary:1.2-cpu",
    "gpu_image": "registry.local:5000/bestiary:1.2-gpu",
    "image_pull_secrets": ["registry"],
    "hub_token": {"name": "hub", "key": "token"},
    "storage": {"size": "1Ti", "storage_class": "nfs"},
    "gpu_node_labels": {"gpu": "l4"},
    "runtime_class": "nvidia",
    "gcs_fault_tolerance": {
        "redis_address": "redis:6379",
        "password": {"name": "redis", "key": "password"},
    },
    "network": {"client_namespaces": ["web", "jobs"], "api_server": ["10.0.0.1/32"]},
}


class AnyCard:
    """A garden that knows every card and has none installed."""

    def card(self, card_id: str) -> ModelCard:
        return ModelCard(
            id=card_id,
            family=Family.TEXT,
            architecture="LlamaForCausalLM",
            title=card_id,
            parameters=1,
            context_length=1,
            license="Apache-2.0",
            provenance="a test",
            sources=(Source(url=f"zoo://{card_id}"),),
        )

    def installed_card(self, requirement: CardRequirement) -> ModelCard:
        raise CardNotInstalled("no such card is installed")


def specs_of(profile: Profile) -> tuple[ApplicationSpec, ...]:
    return applications(profile, AnyCard())


def manifests(profile_name: str, **options: object) -> str:
    profile = load_profile(profile_name)
    return render(profile, specs_of(profile), parse_options(options))


def documents(profile_name: str, **options: object) -> list[Json]:
    return cast(list[Json], list(yaml.safe_load_all(manifests(profile_name, **options))))


def only(found: list[Json], kind: str, name: str) -> Json:
    (one,) = (d for d in found if d["kind"] == kind and d["metadata"]["name"] == name)
    return one


def cluster(found: list[Json]) -> Json:
    return cast(Json, only(found, "RayService", "bestiary")["spec"]["rayClusterConfig"])


def pods(found: list[Json]) -> list[Json]:
    groups = [cluster(found)["headGroupSpec"], *cluster(found)["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def containers(found: list[Json]) -> list[Json]:
    return [
        container
        for pod in pods(found)
        for container in (*pod["containers"], *pod.get("initContainers", []))
    ]


@pytest.mark.skipif(not CRDVAL.is_file(), reason=f"the manifest validator is not here: {CRDVAL}")
@pytest.mark.parametrize("profile", ["laptop", "gpu"])
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_a_cluster_accepts_the_manifests(profile: str, options: Mapping[str, object]) -> None:
    command = [
        sys.executable,
        str(CRDVAL),
        "--crds",
        str(SHARED / "crds"),
        "--serve-schema",
        "-",
    ]
    done = subprocess.run(
        command,
        input=manifests(profile, **options),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 bad" in done.stdout


@pytest.mark.parametrize("name", ["laptop", "gpu"])
def test_the_applications_are_those_of_the_laptop(name: str) -> None:
    service = only(documents(name), "RayService", "bestiary")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    expected = [spec.model_dump(mode="json") for spec in specs_of(load_profile(name))]
    assert config["applications"] == expected


@pytest.mark.parametrize("name", ["laptop", "gpu"])
def test_pods_are_given_the_profile_as_it_was_rendered(name: str) -> None:
    config = only(documents(name), "ConfigMap", "bestiary-profile")
    given = Profile.model_validate(yaml.safe_load(config["data"]["profile.yaml"]))
    assert given == load_profile(name)


def test_the_gpu_profile_has_a_cpu_group_and_a_gpu_group() -> None:
    profile = load_profile("gpu")
    groups = worker_groups(profile, profile.deployments, CPU_POD)
    assert groups == (
        WorkerGroup("cpu", cpus=4, memory_gib=16, gpus=0, min_replicas=2, max_replicas=2),
        # 4 + 4 replicas of a whole GPU, 4 + 4 of a half, and 2 trainers
        WorkerGroup("gpu-1", cpus=4, memory_gib=34, gpus=1, min_replicas=3, max_replicas=14),
    )


def test_the_laptop_profile_fits_one_pod_and_scales_nothing() -> None:
    (group,) = cluster(documents("laptop"))["workerGroupSpecs"]
    assert (group["minReplicas"], group["maxReplicas"]) == (1, 1)
    assert cluster(documents("laptop"))["enableInTreeAutoscaling"] is False


def test_a_deployment_whose_card_is_absent_takes_no_pods() -> None:
    profile = load_profile("gpu")
    running = [name for name in profile.deployments if name != "qwen2.5-7b"]
    groups = worker_groups(profile, running, CPU_POD)
    assert groups[1].max_replicas == 10


def test_each_number_of_gpus_is_a_group() -> None:
    large = {"card": "x", "text": {}, "resources": {"gpus": 4, "cpus": 8, "memory_gib": 100}}
    base = load_profile("gpu").model_dump()
    profile = Profile.model_validate({**base, "deployments": {**base["deployments"], "l": large}})
    found = worker_groups(profile, profile.deployments, CPU_POD)[-1]
    assert found == WorkerGroup(
        "gpu-4", cpus=8, memory_gib=102, gpus=4, min_replicas=1, max_replicas=1
    )


def test_a_cpu_pod_grows_to_the_largest_replica() -> None:
    base = load_profile("laptop").model_dump()
    base["deployments"]["minilm"]["resources"] = {"cpus": 9, "memory_gib": 40}
    profile = Profile.model_validate(base)
    (group,) = worker_groups(profile, profile.deployments, CPU_POD)
    assert (group.cpus, group.memory_gib) == (9, 42)


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ([0.5, 0.5], 1),
        ([0.6, 0.6], 2),  # 1.2 GPUs in sum, yet two do not fit one
        ([0.4, 0.7, 0.6, 0.3], 2),
        ([0.2] * 5, 1),
        ([1, 0.5, 1], 3),
        ([], 0),
    ],
)
def test_replicas_are_packed_without_splitting_one(gpus: list[float], expected: int) -> None:
    pod = Demand(gpus=1, cpus=8, memory_gib=32)
    assert pods_needed([Demand(gpu, 1, 1) for gpu in gpus], pod) == expected


def test_memory_bounds_a_pod_as_gpus_do() -> None:
    pod = Demand(gpus=1, cpus=8, memory_gib=32)
    assert pods_needed([Demand(0.1, 1, 20), Demand(0.1, 1, 20)], pod) == 2


def test_serve_starts_in_throughput_mode_everywhere() -> None:
    for container in containers(documents("gpu")):
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert env["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
        assert env["RAY_SERVE_ENABLE_HA_PROXY"] == "1"


def test_the_database_url_is_only_referred_to() -> None:
    found = documents("gpu", database_url={"name": "pg", "key": "uri"})
    for container in containers(found):
        (entry,) = (one for one in container["env"] if one["name"] == "BESTIARY_DATABASE_URL")
        assert entry == {
            "name": "BESTIARY_DATABASE_URL",
            "valueFrom": {"secretKeyRef": {"name": "pg", "key": "uri"}},
        }
    assert not [document for document in found if document["kind"] == "Secret"]


def test_no_container_runs_as_root_or_writes_to_its_image() -> None:
    found = documents("gpu")
    for pod in pods(found):
        assert pod["securityContext"]["runAsNonRoot"] is True
    for container in containers(found):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_every_container_has_requests_that_equal_its_limits() -> None:
    for container in containers(documents("gpu")):
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert {"cpu", "memory"} <= set(resources["limits"])


def test_gpu_pods_ask_for_their_gpus_and_tolerate_the_taint() -> None:
    found = documents("gpu", gpu_node_labels={"gpu": "l4"}, runtime_class="nvidia")
    pod = pods(found)[2]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert (pod["nodeSelector"], pod["runtimeClassName"]) == ({"gpu": "l4"}, "nvidia")


def test_gpu_pods_run_the_gpu_image() -> None:
    images = [pod["containers"][0]["image"] for pod in pods(documents("gpu"))]
    assert images == ["bestiary:0.1.0-cpu", "bestiary:0.1.0-cpu", "bestiary:0.1.0-gpu"]


def test_workers_pull_the_profiles_models_before_ray_starts() -> None:
    for pod in pods(documents("gpu"))[1:]:
        (init,) = pod["initContainers"]
        command = ["bestiary", "models", "pull", "--profile", "/etc/bestiary/profile.yaml"]
        assert init["command"] == command


def test_the_head_runs_no_replicas_and_only_tokens_open_the_cluster() -> None:
    found = cluster(documents("gpu"))
    assert found["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert found["authOptions"] == {"mode": "token"}


def test_only_the_head_of_an_autoscaled_cluster_gets_an_api_token() -> None:
    mounted = [pod["automountServiceAccountToken"] for pod in pods(documents("gpu"))]
    assert mounted == [True, False, False]
    assert not pods(documents("laptop"))[0]["automountServiceAccountToken"]


def test_the_api_server_is_reached_only_where_the_cluster_is_autoscaled() -> None:
    scaled = documents("gpu", network={"api_server": ["10.0.0.1/32"]})
    policy = only(scaled, "NetworkPolicy", "bestiary-api-server")
    assert policy["spec"]["egress"][0]["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    names = {document["metadata"]["name"] for document in documents("laptop")}
    assert "bestiary-api-server" not in names


def test_everything_is_closed_but_what_a_policy_opens() -> None:
    policy = only(documents("gpu"), "NetworkPolicy", "bestiary-closed")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert (policy["spec"]["ingress"], policy["spec"]["egress"]) == ([], [])


def test_names_are_resolved_over_udp_and_tcp() -> None:
    (rule,) = only(documents("gpu"), "NetworkPolicy", "bestiary-dns")["spec"]["egress"]
    assert rule["ports"] == [{"protocol": p, "port": 53} for p in ("UDP", "TCP")]


def test_clients_reach_the_gateway_and_nothing_else() -> None:
    found = documents("gpu", network={"client_namespaces": ["web"]})
    (rule,) = only(found, "NetworkPolicy", "bestiary-clients")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]
    (peer,) = rule["from"]
    labels = peer["namespaceSelector"]["matchLabels"]
    assert labels == {"kubernetes.io/metadata.name": "web"}


def test_redis_keeps_the_cluster_state_where_asked() -> None:
    redis = {"redis_address": "redis:6379", "password": {"name": "redis", "key": "password"}}
    found = cluster(documents("gpu", gcs_fault_tolerance=redis))
    assert found["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379",
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}},
    }


def test_a_pod_monitor_takes_rays_prefix_off_our_metrics() -> None:
    monitor = only(documents("gpu", pod_monitor=True), "PodMonitor", "bestiary")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["metricRelabelings"][0]["regex"] == "ray_(bestiary_.*)"


def test_counters_in_process_are_refused_for_several_gateways() -> None:
    base = load_profile("gpu").model_dump()
    base["gateway"]["rate_limit_storage"] = "memory://"
    profile = Profile.model_validate(base)
    with pytest.raises(ProfileInvalid, match="each replica would count alone"):
        render(profile, specs_of(profile), parse_options({}))


@pytest.mark.parametrize(
    ("given", "param", "says"),
    [
        ({"naem": "x"}, "naem", "did you mean 'name'?"),
        ({"name": "Zoo"}, "name", "string should match pattern"),
        ({"name": "a" * 48}, "name", "string should match pattern"),
        ({"image": "bestiary"}, "image", "string should match pattern"),
        ({"storage": {"size": "10 GB"}}, "storage.size", "string should match pattern"),
        ({"storage": {"access_mode": "RWX"}}, "storage.access_mode", "'RWX' is not valid"),
        ({"head": {"cpus": 0, "memory_gib": 8}}, "head.cpus", "greater than or equal to 1"),
        ({"database_url": {"name": "pg"}}, "database_url.key", "database_url.key is missing"),
        ({"database_url": "postgresql://u:p@h/d"}, "database_url", "input should be a"),
        ({"network": {"api_server": ["10.0.0.300/32"]}}, "network.api_server", "10.0.0.300"),
        ({"network": {"api_server": []}}, "network.api_server", "at least 1 item"),
        (
            {"gcs_fault_tolerance": {"redis_address": "redis"}},
            "gcs_fault_tolerance.redis_address",
            "string should match pattern",
        ),
    ],
)
def test_a_faulty_option_is_told_by_its_name(
    given: Mapping[str, object], param: str, says: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_options(given)
    assert caught.value.param == param
    assert says in caught.value.message
