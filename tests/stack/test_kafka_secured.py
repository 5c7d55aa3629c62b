"""A broker with TLS and a login, by what the page tells to put over agent and gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from support.pages import REPOSITORY, blocks
from support.stack import Collector, Kafka, eventually, pki
from support.stack.ask import http
from support.stack.product import PRODUCT
from support.stack.topology import OF_A_RUN, process, span, spans, trace_ids

PAGE = REPOSITORY / "docs" / "how-to" / "collector.md"
MECHANISM = "SCRAM-SHA-512"
PASSWORD = "word-of-the-broker"
ACCEPTED = ("spans", "metric_points", "log_records")


class SecuredKafka(Kafka):
    """A broker that speaks TLS 1.3 only, to who signs in as `etl`."""

    protocol: ClassVar[str] = "SASL_SSL"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tls = pki.make(self.folder / "tls")
        key, certificate = (self.tls / f"server.{kind}" for kind in ("key", "crt"))
        self._own = self.folder / "server.pem"
        self._own.write_text(key.read_text() + certificate.read_text())

    def security(self) -> dict[str, str]:
        """Return its certificate, and how one signs in."""
        return {
            "ssl.enabled.protocols": "TLSv1.3",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._own),
            **self._trust,
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config": self._login,
        }

    def client_security(self) -> dict[str, str]:
        """Return whom its tools trust, and how they sign in."""
        return {
            **self._trust,
            "sasl.mechanism": MECHANISM,
            "sasl.jaas.config": self._login,
        }

    def logins(self) -> tuple[str, ...]:
        """Return its one user."""
        return ("--add-scram", f"{MECHANISM}=[name=etl,password={PASSWORD}]")

    @property
    def _trust(self) -> dict[str, str]:
        return {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.tls / "ca.crt"),
        }

    @property
    def _login(self) -> str:
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        return f'{module} required username="etl" password="{PASSWORD}";'


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Start a broker."""
    with SecuredKafka(tmp_path_factory.mktemp("kafka")) as engine:
        yield engine


def collector(folder: Path, kafka: SecuredKafka, kind: str) -> Collector:
    """Prepare an agent or a gateway with the page's example for it."""
    (example,) = (
        block.code
        for block in blocks(PAGE)
        if block.language == "yaml"
        and any(name.startswith("kafka") for name in yaml.safe_load(block.code).get(kind, ()))
    )
    folder.mkdir()
    shown = folder / "shown.yaml"
    shown.write_text(example.replace("/etc/etl-otelcol/tls", str(kafka.tls)))
    name = {"exporters": "agent", "receivers": "gateway"}[kind]
    made = Collector(folder, configs=[PRODUCT / f"{name}.yaml", PRODUCT / f"{name}-kafka.yaml"])
    made.configs.append(shown)
    made.variables.update(kafka.for_collector(), KAFKA_PASSWORD=PASSWORD)
    return made


def send_one_of_each(agent: Collector) -> None:
    """Send a span of a run, a point and a log record."""
    (trace,) = trace_ids(1)
    gauge = {"dataPoints": [{"asInt": "1", "timeUnixNano": "1"}]}
    resource = {"resource": process("secured")}
    for signal, body in (
        ("traces", spans("secured", [span(trace, "load", **OF_A_RUN)])),
        ("metrics", {"resourceMetrics": [
            {**resource, "scopeMetrics": [{"metrics": [{"name": "one", "gauge": gauge}]}]}
        ]}),
        ("logs", {"resourceLogs": [
            {**resource, "scopeLogs": [{"logRecords": [{"body": {"stringValue": "one"}}]}]}
        ]}),
    ):  # fmt: skip
        http.send("POST", f"{agent.otlp_http}/v1/{signal}", body)


def taken(gateway: Collector) -> dict[str, float]:
    """Return what a gateway has taken from Kafka."""
    return {
        name: sum(gateway.ask.values(f"otelcol_receiver_accepted_{name}", "receiver").values())
        for name in ACCEPTED
    }


def test_wrong_password_is_refused_and_what_waited_arrives_with_the_right_one(
    kafka: SecuredKafka, tmp_path: Path
) -> None:
    """All signals go over TLS 1.3 and a login; an agent that is refused keeps what it has."""
    agent, gateway = (
        collector(tmp_path / kind, kafka, kind) for kind in ("exporters", "receivers")
    )
    agent.variables["KAFKA_PASSWORD"] = "wrong"
    with gateway, agent:
        send_one_of_each(agent)
        eventually("it is refused", lambda: "SASL" in agent.log.read_text())
        assert (taken(gateway), agent.waiting() > 0) == (dict.fromkeys(ACCEPTED, 0), True)
        agent.variables["KAFKA_PASSWORD"] = PASSWORD
        agent.restart()
        eventually("all is taken", lambda: taken(gateway) == dict.fromkeys(ACCEPTED, 1))
