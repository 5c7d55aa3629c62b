"""The Kubernetes manifests: schema, least privilege, and that their parts fit together."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from etl_telemetry.config import Config
from support.deployment import COLLECTOR, documents, expand, settings, size, variables
from support.engines.table import engine_of
from support.pages import REPOSITORY, blocks

FOLDER = COLLECTOR / "kubernetes"
# The oldest with stable sidecars (`restartPolicy` of an init container), and the newest.
VERSIONS = ("1.33", "1.37")
KUSTOMIZATION = yaml.safe_load((COLLECTOR / "kustomization.yaml").read_text())
OBJECTS: list[tuple[Path, dict[str, Any]]] = [
    (path, found)
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.name != "kustomization.yaml"
    for found in documents(path)
]
WORKLOADS = [found for _, found in OBJECTS if "template" in found.get("spec", {})]
COLLECTORS = [
    (workload, container)
    for workload in WORKLOADS
    for kind in ("initContainers", "containers")
    for container in workload["spec"]["template"]["spec"].get(kind, [])
    if container["image"].startswith("otel/")
]
# Names of Kubernetes that other variables are made of, and what the program itself reads.
NOT_OF_THE_CONFIGURATION = {"POD_IP", "NODE_NAME", "GOMEMLIMIT", "OTEL_RESOURCE_ATTRIBUTES"}

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is missing: its kustomize renders the files"
)


def label(found: dict[str, Any]) -> str:
    """Name an object as kubectl does."""
    return f"{found['kind']}/{found['metadata']['name']}"


def by_name(kind: str, name: str) -> dict[str, Any]:
    """Find one object of the manifests."""
    (found,) = (found for _, found in OBJECTS if label(found) == f"{kind}/{name}")
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Read the variables of a container that are set in place; others are an empty text."""
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def configuration(container: dict[str, Any]) -> str:
    """Read the configuration that a container starts with, from collector/."""
    (argument,) = container["args"]
    return (COLLECTOR / argument.removeprefix("--config=/etc/etl-otelcol/")).read_text()


def room(workload: dict[str, Any]) -> int:
    """Find the size of the volume called queue."""
    claims = workload["spec"].get("volumeClaimTemplates", [])
    volumes = workload["spec"]["template"]["spec"]["volumes"]
    sizes = [claim["spec"]["resources"]["requests"]["storage"] for claim in claims] + [
        volume["emptyDir"]["sizeLimit"] for volume in volumes if "emptyDir" in volume
    ]
    (found,) = sizes
    return size(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "found",
    [pytest.param(found, id=f"{path.stem}-{label(found)}") for path, found in OBJECTS],
)
def test_object_fits_the_schema(found: dict[str, Any], version: str) -> None:
    """Each object is what the schema of Kubernetes allows; an unknown key is an error."""
    kubernetes_validate.validate(found, version, strict=True)


def test_schema_finds_an_unknown_key() -> None:
    """A typing error is seen: the check above checks."""
    broken = by_name("Service", "etl-agent") | {"specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError, match="'specs' was unexpected"):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Render a kustomization; each object fits the schema."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = list(yaml.safe_load_all(done.stdout))
    for each in found:
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
    return found


@needs_kubectl
def test_kustomize_renders_the_very_same_configurations() -> None:
    """What `kubectl apply -k collector/` sends has the files of collector/, byte for byte."""
    maps = [found["data"] for found in rendered(COLLECTOR) if found["kind"] == "ConfigMap"]
    assert {name: text for data in maps for name, text in data.items()} == {
        "agent.yaml": (COLLECTOR / "agent.yaml").read_text(),
        "gateway.yaml": (COLLECTOR / "gateway.yaml").read_text(),
        "security-agent.yaml": (COLLECTOR / "security" / "agent.yaml").read_text(),
        "security-receiver.yaml": (COLLECTOR / "security" / "receiver.yaml").read_text(),
    } | settings(FOLDER / "backends.env")


@needs_kubectl
@pytest.mark.parametrize(
    ("kind", "secret", "overlay"),
    [
        ("DaemonSet", "etl-agent-tls", "agent.yaml"),
        ("StatefulSet", "etl-gateway-tls", "receiver.yaml"),
    ],
)
def test_security_component_starts_the_overlay_with_its_secret(
    tmp_path: Path, kind: str, secret: str, overlay: str
) -> None:
    """A kustomization of one's own adds the component: overlay, variables, files of a Secret."""
    base = os.path.relpath(COLLECTOR, tmp_path)
    own = {"resources": [base], "components": [f"{base}/kubernetes/security"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    (found,) = (each for each in rendered(tmp_path) if each["kind"] == kind)
    pod = found["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][1:] == [f"--config=/etc/etl-otelcol/security-{overlay}"]
    used = variables((COLLECTOR / "security" / overlay).read_text())
    folder = "/etc/etl-otelcol-tls"
    given = environment(container)
    assert {given[name].partition("/etc/etl-otelcol-tls")[0] for name in used} == {""}
    assert {"name": "tls", "mountPath": folder, "readOnly": True} in container["volumeMounts"]
    assert {"name": "tls", "secret": {"secretName": secret, "defaultMode": 0o440}} in pod["volumes"]


@needs_kubectl
def test_file_of_ones_own_is_started_as_the_page_says(tmp_path: Path) -> None:
    """A kustomization of one's own adds `login.yaml`: to the ConfigMap and to the command line."""
    (shown,) = (
        block.code for block in blocks(REPOSITORY / "docs" / "how-to" / "deploy.md")
        if "login.yaml" in block.code
    )  # fmt: skip
    own = yaml.safe_load(shown)
    own["resources"] = [os.path.relpath(COLLECTOR, tmp_path)]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    (tmp_path / "login.yaml").write_text("exporters: {}\n")
    found = rendered(tmp_path)
    (gateway,) = (each for each in found if each["kind"] == "StatefulSet")
    pod = gateway["spec"]["template"]["spec"]
    files = ["gateway.yaml", "login.yaml"]
    assert pod["containers"][0]["args"] == [f"--config=/etc/etl-otelcol/{name}" for name in files]
    (mounted,) = (each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each)
    (data,) = (each["data"] for each in found if each["metadata"]["name"] == mounted)
    assert set(files) < data.keys()


def test_every_manifest_is_applied_or_an_example() -> None:
    """No manifest is forgotten in the kustomization."""
    there = {path.relative_to(COLLECTOR).as_posix() for path in FOLDER.glob("*.yaml")}
    assert sorted(KUSTOMIZATION["resources"]) == sorted(there)


@pytest.mark.parametrize("workload", WORKLOADS, ids=label)
def test_pod_is_restricted(workload: dict[str, Any]) -> None:
    """A pod asks for nothing that the restricted level of Pod Security refuses."""
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= {
        "configMap", "emptyDir", "secret", "projected",
    }  # fmt: skip
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not [port for port in container.get("ports", []) if "hostPort" in port]
        for resources in (container["resources"]["requests"], container["resources"]["limits"]):
            assert resources.keys() == {"cpu", "memory", "ephemeral-storage"}


@pytest.mark.parametrize(("workload", "container"), COLLECTORS, ids=lambda value: value.get("kind"))
class TestCollectorContainer:
    """Each container that runs a Collector."""

    def test_is_the_version_that_the_stack_runs(
        self, workload: dict[str, Any], container: dict[str, Any]
    ) -> None:
        """What a cluster gets is the release on which everything is proven."""
        version = engine_of("collector").version
        assert container["image"] == f"otel/opentelemetry-collector-contrib:{version}"

    def test_reads_every_variable_that_it_gets(
        self, workload: dict[str, Any], container: dict[str, Any]
    ) -> None:
        """The configuration uses what is set, and what it needs is set."""
        given = set(environment(container)) - NOT_OF_THE_CONFIGURATION
        used = variables(configuration(container))
        sources = [source for source in container.get("envFrom", []) if "configMapRef" in source]
        backends = set(settings(FOLDER / "backends.env")) if sources else set()
        assert (given | backends) - used.keys() == set()
        needed = {name for name, variable in used.items() if variable.default is None}
        assert needed - given - backends == set()

    def test_is_asked_for_its_health_where_it_answers(
        self, workload: dict[str, Any], container: dict[str, Any]
    ) -> None:
        """All three probes ask the health extension, at the address of the pod."""
        assert environment(container)["ETL_HEALTH_ENDPOINT"] == "$(POD_IP):13133"
        assert {"name": "health", "containerPort": 13133} in container["ports"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/", "port": "health"}

    def test_refuses_before_it_is_killed(
        self, workload: dict[str, Any], container: dict[str, Any]
    ) -> None:
        """The limit is at least a third above what the Collector allows itself."""
        given = environment(container)
        limit = size(container["resources"]["limits"]["memory"])
        assert limit >= size(f"{given['ETL_MEMORY_LIMIT_MIB']}Mi") * 4 / 3
        assert size(given["GOMEMLIMIT"]) < limit

    def test_keeps_its_queue_on_a_volume(
        self, workload: dict[str, Any], container: dict[str, Any]
    ) -> None:
        """The root is read-only, and the queue is on a volume that the workload declares."""
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert environment(container)["ETL_QUEUE_DIRECTORY"] == f"{paths['queue']}/queue"
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = [*workload["spec"]["template"]["spec"]["volumes"]]
        named = [claim["metadata"]["name"] for claim in claims] + [v["name"] for v in volumes]
        assert sorted(named) == sorted(paths)

    def test_volume_holds_its_queues_when_they_are_full(
        self, workload: dict[str, Any], container: dict[str, Any]
    ) -> None:
        """All queues fit, and one copy more: a queue is copied when it is made smaller."""
        given = environment(container)
        exporters = yaml.safe_load(expand(configuration(container), given))["exporters"].values()
        queues = [each["sending_queue"] for each in exporters if "sending_queue" in each]
        assert {(queue["storage"], queue["sizer"]) for queue in queues} == {
            ("file_storage", "bytes")
        }
        sizes = [int(queue["queue_size"]) for queue in queues]
        assert sum(sizes) + max(sizes) <= room(workload)

    def test_names_every_gateway(self, workload: dict[str, Any], container: dict[str, Any]) -> None:
        """An agent knows each gateway by the name that its StatefulSet gives it."""
        hosts = environment(container).get("ETL_GATEWAY_HOSTS")
        if hosts is None:
            assert label(workload) == "StatefulSet/etl-gateway"
            return
        gateway = by_name("StatefulSet", "etl-gateway")
        domain = "" if workload["metadata"]["name"] == "etl-agent" else ".etl-telemetry.svc"
        assert yaml.safe_load(hosts) == [
            f"etl-gateway-{number}.{gateway['spec']['serviceName']}{domain}:4317"
            for number in range(gateway["spec"]["replicas"])
        ]


def test_gateways_have_their_own_addresses_and_volumes() -> None:
    """The Service is headless, and a queue outlives both a scale-down and a delete."""
    gateway = by_name("StatefulSet", "etl-gateway")["spec"]
    assert by_name("Service", gateway["serviceName"])["spec"]["clusterIP"] == "None"
    assert gateway["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }


def test_one_observer_runs_and_the_next_one_waits() -> None:
    """One replica: an update brings the new one before the old one ends, and the lock decides."""
    observer = by_name("Deployment", "etl-observer")["spec"]
    assert (observer["replicas"], observer["strategy"]["rollingUpdate"]) == (
        1,
        {"maxSurge": 1, "maxUnavailable": 0},
    )
    pod = observer["template"]["spec"]
    assert pod["containers"][0]["args"] == ["python", "manage.py", "telemetry_observer"]
    assert pod["terminationGracePeriodSeconds"] > 2 * Config().deadline


def test_no_secret_is_inlined() -> None:
    """Secrets are named, and made by whoever installs: none is in a file here."""
    assert [label(found) for _, found in OBJECTS if found["kind"] == "Secret"] == []
    assert "secretGenerator" not in KUSTOMIZATION


def test_network_policies_start_from_nothing() -> None:
    """All pods are closed both ways; each workload that is applied opens what it needs."""
    policies = {
        found["metadata"]["name"]: found["spec"]
        for _, found in OBJECTS
        if found["kind"] == "NetworkPolicy"
    }
    assert policies.pop("etl-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert sorted(policies) == ["etl-agent", "etl-gateway"]
    for name, policy in policies.items():
        assert policy["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": name}}


def test_gateways_may_reach_the_backends_that_are_set() -> None:
    """The ports that the policy opens are those of backends.env."""
    policy = by_name("NetworkPolicy", "etl-gateway")["spec"]["egress"]
    (opened,) = (rule["ports"] for rule in policy if "to" not in rule)
    urls = settings(FOLDER / "backends.env").values()
    wanted = {int(url.split("://")[1].partition("/")[0].rpartition(":")[2]) for url in urls}
    assert {port["port"] for port in opened} == wanted


def test_a_worker_has_time_for_its_tasks_and_gets_the_signal_itself() -> None:
    """No shell is between the kubelet and Celery's main process."""
    pod = by_name("Deployment", "etl-worker")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 600 > 2 * Config().deadline
    (container,) = pod["containers"]
    assert "command" not in container
    assert container["args"][:3] == ["celery", "--app=etl_platform", "worker"]


def test_two_beats_never_run_at_a_time() -> None:
    """The new one begins when the old one has ended."""
    beat = by_name("Deployment", "etl-beat")["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})
