"""Every configuration is what the real engines take: validated, and started until it is healthy."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import compose, configurations
from support.configurations import Files
from support.deployment import variables
from support.engines import locate
from support.pages import REPOSITORY, blocks
from support.stack import Alertmanager, Collector, Engine, Jaeger, Prometheus
from support.stack.pki import certificates
from support.stack.product import PRODUCT

COMBINATIONS = list(configurations.combinations())
PROMETHEUS = sorted((PRODUCT / "prometheus").glob("*.yml"))
ALERTMANAGER = sorted((PRODUCT / "alertmanager").glob("*.yml"))
ETC = "/etc/etl-otelcol/tls"
MIMIR = "/run/secrets/mimir"
"""What the pages' examples read from a host's files."""
SHOWN = {
    ("collector.md", "elasticsearch/logs"): ("single-node.yaml",),
    ("collector.md", "load_balancing/gateway"): ("agent.yaml",),
    ("collector.md", "pipelines"): ("gateway.yaml",),
    ("collector.md", "kafka/traces"): ("agent.yaml", "agent-kafka.yaml"),
    ("collector.md", "kafka"): ("gateway.yaml", "gateway-kafka.yaml"),
    ("deploy.md", "elasticsearch/logs"): ("single-node.yaml",),
    ("swap-backend.md", "otlp_http/metrics"): ("single-node.yaml", "overlays/metrics-otlp.yaml"),
}
"""What a page's example goes over, by its page and its first component."""
EXAMPLES = [
    ((name, next(iter(content))), block.code)
    for name in sorted({page for page, _ in SHOWN})
    for block in blocks(REPOSITORY / "docs" / "how-to" / name)
    if block.language == "yaml"
    for kind, content in yaml.safe_load(block.code).items()
    if kind in {"receivers", "processors", "exporters", "connectors", "extensions", "service"}
]
JAEGER = [("jaeger.yaml",), ("jaeger.yaml", "badger.yaml")]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make what the security profile wants to read."""
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def collector(
    request: pytest.FixtureRequest, tmp_path: Path, tls: dict[str, str]
) -> Iterator[Collector]:
    """Prepare a Collector with the files that are asked for."""
    engine = Collector(tmp_path, configs=[PRODUCT / file for file in request.param])
    engine.variables.update(tls)
    yield engine
    engine.stop()


@pytest.mark.parametrize("collector", COMBINATIONS, ids=" + ".join, indirect=True)
def test_collector_validates_and_gets_healthy(collector: Collector) -> None:
    """The Collector finds no mistake in the files, starts with them, and complains of nothing."""
    configs = [f"--config={path}" for path in collector.configs]
    done = subprocess.run(
        [str(locate("collector")), "validate", *configs],
        cwd=collector.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    collector.start()
    lines = collector.log.read_text().splitlines()
    troubles = [line for line in lines if line.partition("\t")[2].startswith(("warn", "error"))]
    # Nobody is there to send to: gRPC and Kafka's client connect at once and say so.
    at_once = ("grpc_log", "kafka")
    assert [line for line in troubles if not any(word in line for word in at_once)] == []


def test_every_example_of_the_pages_is_known() -> None:
    """A new one gets a line here, with what it goes over."""
    assert {example for example, _ in EXAMPLES} == SHOWN.keys()


@pytest.mark.parametrize(
    ("example", "text"), [pytest.param(*each, id=" ".join(each[0])) for each in EXAMPLES]
)
def test_collector_takes_the_examples_of_the_pages(
    example: tuple[str, str], text: str, tls: dict[str, str], tmp_path: Path
) -> None:
    """What a page tells to put over a configuration makes a valid one."""
    here = {ETC: tls["ETL_TLS_DIRECTORY"], MIMIR: tls["ETL_BEARER_TOKEN_FILE"]}
    for place, found in here.items():
        text = text.replace(place, found)
    own = tmp_path / "own.yaml"
    own.write_text(text)
    secrets = dict.fromkeys(variables(text), "secret")
    configs = [f"--config={path}" for path in (*(PRODUCT / f for f in SHOWN[example]), own)]
    done = subprocess.run(
        [str(locate("collector")), "validate", *configs],
        env=secrets, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", PROMETHEUS, ids=lambda path: path.name)
def test_promtool_takes_prometheus_configuration(path: Path) -> None:
    """Prometheus' own tool finds no mistake."""
    command = [str(locate("promtool")), "check", "config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


def test_promtool_takes_the_targets_of_compose(tmp_path: Path) -> None:
    """The folder that compose.yaml mounts in place of `targets/` has what the configuration reads.

    Promtool reads each file of targets, and warns of one that is missing.
    """
    made = tmp_path / "prometheus"
    shutil.copytree(PRODUCT / "prometheus", made, ignore=shutil.ignore_patterns("targets"))
    (made / "compose-targets").rename(made / "targets")
    command = [str(locate("promtool")), "check", "config", str(made / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "SUCCESS" in done.stdout
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize("path", PROMETHEUS, ids=lambda path: path.name)
def test_prometheus_starts(path: Path, tmp_path: Path) -> None:
    """Prometheus takes the file and gets ready."""
    engine = Prometheus(tmp_path)
    engine.config = path
    with engine:
        assert engine.owns_ports()


@pytest.mark.parametrize("path", ALERTMANAGER, ids=lambda path: path.name)
def test_amtool_takes_alertmanager_configuration(path: Path, tmp_path: Path) -> None:
    """Alertmanager's own tool finds no mistake, and Alertmanager gets ready."""
    command = [str(locate("amtool")), "check-config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    engine = Alertmanager(tmp_path)
    engine.config = path
    with engine:
        assert engine.owns_ports()


@pytest.mark.parametrize("files", JAEGER, ids=" + ".join)
def test_jaeger_starts(files: Files, tmp_path: Path) -> None:
    """Jaeger takes the files and answers; with Badger it makes its folders."""
    engine = Jaeger(tmp_path)
    first, *others = (PRODUCT / "jaeger" / file for file in files)
    engine.config = first
    engine.more = others
    engine.variables["JAEGER_DATA_DIRECTORY"] = str(tmp_path / "data")
    with engine:
        assert engine.owns_ports()
    assert (tmp_path / "data").exists() is bool(others)


COMPOSE = compose.load(PRODUCT)
MOUNTED = {
    "/etc/": f"{PRODUCT}/",
    "=/prometheus": "=data",
    "=/alertmanager": "=data",
}
"""Paths in the containers, and what is there."""


@pytest.mark.parametrize("kind", [Prometheus, Alertmanager, Jaeger], ids=lambda kind: kind.name)
def test_engine_takes_the_command_of_compose(
    kind: type[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option that compose.yaml gives is one of this version; only the ports are others."""
    engine = kind(tmp_path)
    program, *usual = engine.command()
    given = [str(each) for each in COMPOSE.services[kind.name]["command"]]
    for inside, here in MOUNTED.items():
        given = [option.replace(inside, here) for option in given]
    names = {option.partition("=")[0] for option in given}
    # Jaeger's last file has the ports; the others have them in an option.
    places = (
        usual[-1:] if kind is Jaeger else [o for o in usual if o.partition("=")[0] not in names]
    )
    monkeypatch.setattr(engine, "command", lambda: [program, *given, *places])
    with engine:
        assert engine.owns_ports()


def test_collector_takes_the_variables_of_compose() -> None:
    """The container's own environment makes a valid configuration."""
    given = COMPOSE.services["collector"]["environment"].items()
    (path,) = compose.configurations(COMPOSE, "collector")
    done = subprocess.run(
        [str(locate("collector")), "validate", f"--config={path}"],
        env={name: str(value) for name, value in given},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
