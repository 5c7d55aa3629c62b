"""`docker compose up` on collector/compose.yaml: checked as far as that goes without Docker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from support import compose
from support.deployment import COLLECTOR, expand, size, variables
from support.engines.table import engine_of
from support.pages import REPOSITORY, blocks
from support.stack.prometheus import FLAGS

STACK = compose.load(COLLECTOR)


def test_compose_file_fits_the_schema() -> None:
    """compose.yaml is what the schema of the Compose specification allows."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         "--output-format", "json", str(COLLECTOR / "compose.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["status"] == "ok", report["errors"]


def test_override_of_the_page_adds_an_overlay(tmp_path: Path) -> None:
    """It fits the schema, and the Collector starts with two files, each of which it has."""
    page = blocks(REPOSITORY / "docs" / "how-to" / "deploy.md")
    (shown,) = (block.code for block in page if "services:\n  collector:" in block.code)
    (tmp_path / "compose.override.yaml").write_text(shown)
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    subprocess.run([*command, str(tmp_path / "compose.override.yaml")], check=True)
    service = yaml.safe_load(shown)["services"]["collector"]
    (mount,) = (volume.split(":") for volume in service["volumes"])
    base = STACK.services["collector"]
    assert service["command"] == [*base["command"], f"--config={mount[1]}"]
    used = variables((COLLECTOR / mount[0]).read_text()).keys()
    assert service["environment"].keys() == used - base["environment"].keys()


def test_settings_and_variables_fit() -> None:
    """Each variable has a value or refuses to be without, and no secret is in git."""
    assert list(compose.settings_problems(STACK)) == []


def test_grafana_has_no_usable_password_and_no_anonymous_door() -> None:
    """The password must be given, nobody is let in without, and nobody signs up."""
    environment = STACK.services["grafana"]["environment"]
    assert "${GRAFANA_ADMIN_PASSWORD:?" in STACK.text
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert not [name for name in environment if name.startswith("GF_AUTH_ANONYMOUS_ORG")]


def test_secrets_file_is_ignored_by_git() -> None:
    """The file with the password cannot be committed by accident."""
    assert "secrets.env" in (COLLECTOR / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("check", compose.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("service", STACK.services)
def test_service_is_in_order(service: str, check: compose.Check) -> None:
    """Each service is pinned, local, limited, without privileges, asked for its health."""
    assert list(check(STACK, service)) == []


def test_every_volume_is_used() -> None:
    """A volume that nothing mounts is a leftover."""
    used = {
        mount.partition(":")[0]
        for service in STACK.services.values()
        for mount in service.get("volumes", [])
        if isinstance(mount, str)
    }
    assert sorted(used) == sorted(STACK.volumes)


def test_collector_refuses_before_its_container_is_killed() -> None:
    """The container has at least a third more memory than the Collector allows itself."""
    collector = STACK.services["collector"]
    own = size(f"{collector['environment']['ETL_MEMORY_LIMIT_MIB']}m")
    assert size(collector["mem_limit"]) >= own * 4 / 3


def test_elasticsearch_heap_is_half_of_its_container() -> None:
    """The other half is for the file system cache, as Elasticsearch's own rule says."""
    heap = STACK.services["elasticsearch"]["environment"]["ES_JAVA_OPTS"].split("-Xmx")[1]
    assert size(heap) * 2 <= size(STACK.services["elasticsearch"]["mem_limit"])


def test_each_exporter_writes_to_the_service_of_its_name() -> None:
    """`otlp_http/prometheus` ends at the service prometheus, and so on for each exporter."""
    environment = STACK.services["collector"]["environment"]
    (path,) = compose.configurations(STACK, "collector")
    read = yaml.safe_load(expand(path.read_text(), environment))
    ends = {}
    for exporter, settings in read["exporters"].items():
        urls = [settings["endpoint"]] if "endpoint" in settings else settings["endpoints"]
        ends[exporter] = {urlsplit(url).hostname for url in urls}
    assert ends == {
        "otlp_http/prometheus": {"prometheus"},
        "otlp_http/jaeger": {"jaeger"},
        "elasticsearch/logs": {"elasticsearch"},
        "elasticsearch/audit": {"elasticsearch"},
    }


@pytest.mark.parametrize(
    "service", ["collector", "prometheus", "alertmanager", "elasticsearch", "jaeger"]
)
def test_image_is_the_version_that_the_stack_runs(service: str) -> None:
    """What a user gets from an image is the release on which everything is proven."""
    version = STACK.services[service]["image"].rpartition(":")[2].removeprefix("v")
    assert version == engine_of(service).version


def test_commands_of_the_readme_ask_the_ports_that_are_published() -> None:
    """Who has Docker finds a run by the same three commands, and by those for any run."""
    pages = (REPOSITORY / "README.md", REPOSITORY / "docs" / "how-to" / "stack.md")
    asked, also = (
        set(re.findall(r"curl .*http://127\.0\.0\.1:(\d+)/", page.read_text())) for page in pages
    )
    backends = ("prometheus", "elasticsearch", "jaeger")
    published = [STACK.services[name]["ports"] for name in backends]
    assert asked == also == {port.split(":")[1] for (port,) in published}


PROMETHEUS = COLLECTOR / "prometheus" / "prometheus.yml"


def test_prometheus_has_the_features_of_the_stack() -> None:
    """It takes OTLP and has each feature that its file asks for and the stack switches on."""
    command = " ".join(STACK.services["prometheus"]["command"])
    assert "--web.enable-otlp-receiver" in command
    assert features(command) == features(PROMETHEUS.read_text()) | features(" ".join(FLAGS))


def features(text: str) -> set[str]:
    """Collect the features of Prometheus that a command switches on."""
    (named,) = re.findall(r"--enable-feature=(\S+)", text)
    return set(named.split(","))


def test_prometheus_finds_the_same_targets_by_their_names_in_the_network() -> None:
    """Each file of targets has a counterpart here, and names a service where it listens."""
    ours = COLLECTOR / "prometheus" / "compose-targets"
    named = set(re.findall(r"targets/([\w.]+)", PROMETHEUS.read_text()))
    assert {path.name for path in ours.iterdir()} == named
    for path in ours.iterdir():
        for group in yaml.safe_load(path.read_text()):
            for host, _, port in (target.partition(":") for target in group["targets"]):
                assert port in compose.listening(STACK, host), path.name


def test_kibana_is_the_version_of_elasticsearch() -> None:
    """Kibana refuses an older Elasticsearch."""
    images = {name: STACK.services[name]["image"] for name in ("elasticsearch", "kibana")}
    assert len({image.partition(":")[2] for image in images.values()}) == 1, images


def test_jaeger_still_has_the_search_that_grafana_uses() -> None:
    """Grafana's data source needs the legacy search API, which ends with Jaeger 2.20."""
    match = re.fullmatch(r"jaegertracing/jaeger:2\.(\d+)\.\d+", STACK.services["jaeger"]["image"])
    assert match
    assert int(match[1]) <= 20


def test_templates_are_applied_before_the_first_document() -> None:
    """The Collector waits for the end of the job that puts every index template."""
    waits = STACK.services["collector"]["depends_on"]["elasticsearch-templates"]
    assert waits == {"condition": "service_completed_successfully"}
    (mount,) = STACK.services["elasticsearch-templates"]["volumes"]
    assert sorted(Path(COLLECTOR / mount["source"]).glob("*.json"))
